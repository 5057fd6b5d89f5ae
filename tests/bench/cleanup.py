"""Cleanups of different kinds, compared with one raw DELETE."""

import argparse
import json
import subprocess
import sys
import time
from statistics import median
from typing import Any

import psycopg
from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import ROOT, Databases, environment

_RAW_CONDITION = """
    WHERE s.name LIKE 'Session-%' AND s.platform = 'automagik'
      AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.session_id = s.id)
"""
_RAW_DELETE = f"DELETE FROM sessions AS s {_RAW_CONDITION}"
_RAW_COUNT = f"SELECT count(*) FROM sessions AS s {_RAW_CONDITION}"

_CLEANUPS = {
    "1 worker": ["clean", "1"],
    "2 workers": ["clean", "2"],
    "1 worker, no archive": ["clean", "1", "no-archive"],
    "2 workers, no archive": ["clean", "2", "no-archive"],
    "QuerySet.delete()": ["delete"],
}
_TARGETS = {"1 worker": 0.55, "2 workers": 1.1}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the figures; returns which bounds were missed."""
    console.print(f"Loading {options.sessions:,} sessions, and a tenth of that …")
    large, small = databases.fill(options.sessions), databases.fill(options.sessions // 10)
    rounds = []
    for number in range(1, options.rounds + 1):
        console.print(f"Round {number} of {options.rounds} …")
        rounds.append(measure_round(databases, large))
    memory = [
        measured(databases.copy(small), "clean", "1")["peak_kib"] for _ in range(options.rounds)
    ]
    result = report(rounds, memory)
    console.print(result.table)
    return result.missed


def measure_round(databases: Databases, original: str) -> dict[str, Any]:
    """Each measurement on its own copy of the database, one after the other."""
    results: dict[str, Any] = {}
    for name, arguments in _CLEANUPS.items():
        results[name] = beside_raw_delete(databases, original, *arguments)
    url = databases.copy(original)
    # Short ones: the median of a few.
    counts = [raw_statement(url, _RAW_COUNT)["seconds"] for _ in range(5)]
    dry_runs = [measured(url, "dry-run")["seconds"] for _ in range(5)]
    results["dry run"] = {"ratio": median(dry_runs) / median(counts)}
    return results


def beside_raw_delete(databases: Databases, original: str, *arguments: str) -> dict[str, Any]:
    """What a cleanup took, with `raw`, the sessions per second of one statement, and `ratio`."""
    # Each with its own raw statement just before, since the speed of machines varies.
    raw = raw_statement(databases.copy(original), _RAW_DELETE)
    result = measured(databases.copy(original), *arguments)
    if result["rows"] != raw["rows"]:
        sys.exit(f"{arguments} removed {result['rows']} sessions, not {raw['rows']}.")
    return {
        **result,
        "raw": raw["rows"] / raw["seconds"],
        "ratio": raw["seconds"] / result["seconds"],
    }


def raw_statement(url: str, statement: str) -> dict[str, Any]:
    """One statement: no batches, no archive, no locks."""
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.perf_counter()
        cursor = connection.execute(statement)
        return {"rows": cursor.rowcount, "seconds": time.perf_counter() - started}


def measured(url: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.child", *arguments],
        cwd=ROOT,
        env=environment(url),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def report(rounds: list[dict[str, Any]], memory_small: list[int]) -> Report:
    """The medians and their bounds."""
    report = Report("Medians; throughput is relative to one raw DELETE just before")
    report.add("raw DELETE", [r["1 worker"]["raw"] for r in rounds], "{:,.0f} sessions/s")
    for name in _CLEANUPS:
        ratios = [r[name]["ratio"] for r in rounds]
        report.add(name, ratios, "{:.2f}×", at_least=_TARGETS.get(name))
    longest = [max(r[name]["longest_ms"] for name in _TARGETS) for r in rounds]
    report.add("longest transaction", longest, "{:.0f} ms", at_most=250, summary=max)
    memory = median(r["1 worker"]["peak_kib"] for r in rounds)
    report.add(
        "peak memory, N against N/10",
        [memory / median(memory_small)],
        "{:.2f}×",
        at_most=1.1,
        details=f"{memory / 1024:.0f} MiB, {median(memory_small) / 1024:.0f} MiB",
    )
    dry_runs = [r["dry run"]["ratio"] for r in rounds]
    report.add("dry run against SELECT count(*)", dry_runs, "{:.2f}×", at_most=2)
    return report
