"""The processes of a measurement, and the processor time that they use."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.bench.data import ROOT

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@contextmanager
def announced(module: str, *arguments: str) -> Iterator[str]:
    """Run a module that is a server; yields the address that it prints first."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


@contextmanager
def worker(variables: dict[str, str]) -> Iterator[int]:
    """Run a worker with that environment, which answers any number of runs; yields its pid."""
    command = ["manage.py", "procrastinate", "worker", "--concurrency=500"]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=variables)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def read_streams(requests: list[dict[str, Any]], *, spread: float) -> list[dict[str, Any]]:
    """Send the requests spread over `spread` seconds, and read their answers to the end.

    tests.bench.stream_clients describes both.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.stream_clients"],
        cwd=ROOT,
        input=json.dumps({"requests": requests, "spread": spread}),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def cpu_seconds(process_ids: Iterable[int]) -> float:
    """User and system time of the processes so far, including all of their threads."""
    ticks = 0
    for process_id in process_ids:
        stat = Path(f"/proc/{process_id}/stat").read_text()
        # The second field is the name in parentheses, which may contain spaces.
        fields = stat.rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND
