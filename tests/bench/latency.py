"""How long storing a message takes, while the database is idle and during a cleanup.

Four processes store 50 messages per second each with `append_message`; a cleanup in another process
removes 300,000 phantom sessions.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import quantiles

from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.cleanup import measured
from tests.bench.data import ROOT, Databases, environment
from tests.bench.writer import PROCESSES

_MESSAGES_PER_SECOND = 200
_PHANTOMS_PER_SESSION = 0.54  # of what tests.bench.data makes
_IDLE_SECONDS = 8
_PAUSE_SECONDS = 1
_BOUNDS = {1: 1.3, 2: 2.0}  # of p99 during a cleanup relative to idle, by the cleanup's workers


@dataclass(frozen=True)
class Waits:
    """How long messages took to be stored within a period, in milliseconds.

    `late_p99` is counted from when the message was due rather than sent: it includes the wait for
    a slow one before it on the same connection. `rate` is in messages per second.
    """

    p50: float
    p99: float
    longest: float
    late_p99: float
    rate: float


def waits_within(messages: list[tuple[float, float, float]], start: float, end: float) -> Waits:
    """The waits of the messages that were sent between two times; see tests.bench.writer."""
    chosen = [message for message in messages if start <= message[1] < end]
    percentiles = quantiles([(stored - sent) * 1000 for _, sent, stored in chosen], n=100)
    return Waits(
        p50=percentiles[49],
        p99=percentiles[98],
        longest=max(stored - sent for _, sent, stored in chosen) * 1000,
        late_p99=quantiles([(stored - due) * 1000 for due, _, stored in chosen], n=100)[98],
        rate=len(chosen) / (end - start),
    )


Rounds = list[tuple[Waits, Waits]]  # idle, and during a cleanup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phantoms", type=int, default=300_000, help="sessions to remove")
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the waits; returns which bounds were missed."""
    console.print(f"Loading {options.phantoms:,} phantom sessions among others …")
    original = databases.fill(round(options.phantoms / _PHANTOMS_PER_SESSION))
    waits: dict[int, Rounds] = {workers: [] for workers in _BOUNDS}
    for number in range(1, options.rounds + 1):
        console.print(f"Round {number} of {options.rounds} …")
        for workers in _BOUNDS:
            waits[workers].append(measure(databases.copy(original), workers))
    report = bounds_report(waits)
    console.print(report.table)
    return report.missed


def measure(url: str, workers: int) -> tuple[Waits, Waits]:
    """The waits while the database was idle, and during a cleanup."""
    with writers(url) as processes:
        started = time.monotonic()
        for process in processes:
            assert process.stdin
            process.stdin.write("start\n")
            process.stdin.flush()
        time.sleep(_PAUSE_SECONDS + _IDLE_SECONDS)
        idle = (started + _PAUSE_SECONDS, time.monotonic())
        cleanup = measured(url, "clean", str(workers))["period"]
        stored = [json.loads(process.communicate("stop\n")[0]) for process in processes]
    messages = [message for of_process in stored for message in of_process]
    return waits_within(messages, *idle), waits_within(messages, *cleanup)


@contextmanager
def writers(url: str) -> Iterator[list[subprocess.Popen[str]]]:
    """The processes that store messages, once all of them are ready."""
    per_second = str(_MESSAGES_PER_SECOND / PROCESSES)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.writer", str(number), per_second],
            cwd=ROOT,
            env=environment(url),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout
            process.stdout.readline()
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def bounds_report(waits: dict[int, Rounds]) -> Report:
    title = f"Storing {_MESSAGES_PER_SECOND} messages per second, idle and during a cleanup"
    report = Report(title)
    for workers, rounds in waits.items():
        label = f"{workers} {'worker' if workers == 1 else 'workers'}"
        idle, during = ([pair[side] for pair in rounds] for side in (0, 1))
        for name, side in (("idle", idle), ("cleanup", during)):
            report.add(f"{label}, {name}: p50", [w.p50 for w in side], "{:.1f} ms")
            report.add(f"{label}, {name}: p99", [w.p99 for w in side], "{:.1f} ms")
            report.add(f"{label}, {name}: p99 since due", [w.late_p99 for w in side], "{:.1f} ms")
            longest = [w.longest for w in side]
            report.add(f"{label}, {name}: longest", longest, "{:.0f} ms", summary=max)
            report.add(f"{label}, {name}: stored", [w.rate for w in side], "{:.0f}/s")
        report.add(
            f"{label}: p99, cleanup / idle",
            [busy.p99 / quiet.p99 for quiet, busy in rounds],
            "{:.2f}×",
            at_most=_BOUNDS[workers],
        )
    return report
