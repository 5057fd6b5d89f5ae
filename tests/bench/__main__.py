"""Measures cleanups against one raw DELETE, and the time to the first token.

    python -m tests.bench [--sessions N] [--rounds N]

PostgreSQL is the server at TEST_DATABASE_URL, or one started for the purpose.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from statistics import median
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from tests import postgres
from tests.bench.data import ROOT, Databases, environment
from tests.bench.first_token import added_milliseconds

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    databases = Databases(os.environ.get("TEST_DATABASE_URL") or postgres.start())
    console = Console(highlight=False)
    console.print(f"Loading {options.sessions:,} sessions, and a tenth of that …")
    large, small = databases.fill(options.sessions), databases.fill(options.sessions // 10)
    rounds = []
    for number in range(1, options.rounds + 1):
        console.print(f"Round {number} of {options.rounds} …")
        rounds.append(measure_round(databases, large))
    memory = [
        measured(databases.copy(small), "clean", "1")["peak_kib"] for _ in range(options.rounds)
    ]
    console.print(report(rounds, memory))
    product, alone = added_milliseconds(databases.empty())
    console.print(
        f"First token: {product:.1f} ms through the product, {alone:.1f} ms from the model alone; "
        f"it adds {product - alone:.1f} ms (to reach: ≤ 25 ms)"
    )


def measure_round(databases: Databases, original: str) -> dict[str, Any]:
    """Each measurement on a copy of its own, side by side in time."""
    results: dict[str, Any] = {}
    for name, arguments in _CLEANUPS.items():
        # Each against a raw statement of its own, just before: machines change their speed.
        raw = raw_statement(databases.copy(original), _RAW_DELETE)
        result = measured(databases.copy(original), *arguments)
        if result["rows"] != raw["rows"]:
            sys.exit(f"{name} removed {result['rows']} sessions, not {raw['rows']}.")
        results[name] = {**result, "raw": raw["rows"] / raw["seconds"]}
        results[name]["ratio"] = raw["seconds"] / result["seconds"]
    url = databases.copy(original)
    # Short ones: the best of a few, in turn.
    counts = [raw_statement(url, _RAW_COUNT)["seconds"] for _ in range(5)]
    surveys = [measured(url, "survey")["seconds"] for _ in range(5)]
    results["dry run"] = {"ratio": median(surveys) / median(counts)}
    return results


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


def report(rounds: list[dict[str, Any]], memory_small: list[int]) -> Table:
    """The medians, with what is to be reached."""
    table = Table(title="Medians; throughput is relative to one raw DELETE just before")
    for heading in ("", "measured", "each round", "to reach"):
        table.add_column(heading)
    speeds = [results["1 worker"]["raw"] for results in rounds]
    table.add_row("raw DELETE", f"{median(speeds):,.0f} sessions/s", _each(speeds, ",.0f"), "")
    for name in _CLEANUPS:
        ratios = [r[name]["ratio"] for r in rounds]
        target = f"≥ {_TARGETS[name]}" if name in _TARGETS else ""
        table.add_row(name, f"{median(ratios):.2f}×", _each(ratios, ".2f"), target)
    longest = [max(r[name]["longest_ms"] for name in _TARGETS) for r in rounds]
    table.add_row(
        "longest transaction", f"{max(longest):.0f} ms", _each(longest, ".0f"), "≤ 250 ms"
    )
    memory = [r["1 worker"]["peak_kib"] for r in rounds]
    growth = median(memory) / median(memory_small)
    table.add_row(
        "peak memory, N against N/10",
        f"{growth:.2f}×",
        f"{median(memory) / 1024:.0f} MiB, {median(memory_small) / 1024:.0f} MiB",
        "≤ 1.1×",
    )
    dry_runs = [r["dry run"]["ratio"] for r in rounds]
    table.add_row(
        "dry run against SELECT count(*)",
        f"{median(dry_runs):.2f}×",
        _each(dry_runs, ".2f"),
        "≤ 2×",
    )
    return table


def _each(values: list[float], form: str) -> str:
    return ", ".join(format(value, form) for value in values)


if __name__ == "__main__":
    main()
