"""Cleanups of many more sessions, at the same speed and in the same memory.

Takes minutes and several gigabytes of disk space.
"""

import argparse
from statistics import median

from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.cleanup import beside_raw_delete
from tests.bench.data import Databases

_WORKERS = (1, 2)
_BOUNDS = {1: 0.8, 2: 1.6}  # of the raw DELETE's speed, at the larger size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--small", type=int, default=200_000, help="sessions (200,000)")
    parser.add_argument("--large", type=int, default=2_000_000, help="sessions (2,000,000)")
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the figures; returns which bounds were missed."""
    report = Report("Sessions removed per second, relative to one raw DELETE just before")
    memory: dict[tuple[int, int], list[int]] = {}  # KiB, by sessions and workers
    for sessions in (options.small, options.large):
        console.print(f"Loading {sessions:,} sessions …")
        original = databases.fill(sessions)
        ratios: dict[int, list[float]] = {workers: [] for workers in _WORKERS}
        for number in range(1, options.rounds + 1):
            console.print(f"{sessions:,} sessions, round {number} of {options.rounds} …")
            for workers in _WORKERS:
                cleaned = beside_raw_delete(databases, original, "clean", str(workers))
                ratios[workers].append(cleaned["ratio"])
                memory.setdefault((sessions, workers), []).append(cleaned["peak_kib"])
        for workers in _WORKERS:
            report.add(
                f"{sessions:,}, workers: {workers}",
                ratios[workers],
                "{:.2f}×",
                at_least=_BOUNDS[workers] if sessions == options.large else None,
            )
    for workers in _WORKERS:
        small, large = (median(memory[size, workers]) for size in (options.small, options.large))
        report.add(
            f"peak memory, growth, workers: {workers}",
            [large / small],
            "{:.2f}×",
            at_most=1.1,
            details=f"{small / 1024:.0f} to {large / 1024:.0f} MiB",
        )
    console.print(report.table)
    return report.missed
