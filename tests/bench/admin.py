"""The admin's pages with a million sessions, compared with few sessions and with a stock admin."""

import argparse
import json
import subprocess
import sys
from statistics import median
from typing import Any

from rich.console import Console

from tests.bench import reviewed
from tests.bench.bounds import Report
from tests.bench.data import ROOT, Databases, environment

_FEW = 10_000
_GROWTH = 1.3
_OF_THE_LIST = 2.0
_SEARCH = 100  # ms, or a fifth of what a stock list takes
_COUNTS = 1.5
_REMOVAL = 0.5

_STEADY = ("list", "page 2", "long transcript", "its middle", "its delete page")
_SEARCHES = ("search by id", "search by name", "search, nothing found")
_LISTS = (
    *("middle page", "last page", "last page, by its number", "removable", "not removable"),
    *("order by name", "order by last activity", "one user"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the figures; returns which bounds were missed."""
    console.print(f"Loading {options.sessions:,} sessions, and {_FEW:,} …")
    few_url = reviewed.fill(databases, _FEW)
    many_url = reviewed.fill(databases, options.sessions)
    few = _measured(few_url, str(options.rounds))
    many = _measured(many_url, str(options.rounds))
    removal = _measured(many_url, str(options.rounds), "removal")
    report = _report(options.sessions, few, many, removal)
    console.print(report.table)
    return report.missed


def _measured(url: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.admin_pages", *arguments],
        cwd=ROOT,
        env={**environment(url), "ALLOWED_HOSTS": "testserver", "HTTPS": "off"},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _report(
    sessions: int,
    few: dict[str, list[float]],
    many: dict[str, list[float]],
    removal: dict[str, float],
) -> Report:
    """The medians of the pages, and their bounds."""
    report = Report(f"Pages of the admin at {sessions:,} sessions")
    the_list = median(many["list"])
    bounds = {name: _GROWTH * median(few[name]) for name in _STEADY}
    bounds |= dict.fromkeys(_LISTS, _OF_THE_LIST * the_list)
    bounds |= {name: max(_SEARCH, median(many[f"stock: {name}"]) / 5) for name in _SEARCHES}
    bounds["search in messages"] = median(many["stock: search in messages"]) / 5
    raw_count = median(many["raw count"])
    bounds |= dict.fromkeys(("confirm removable", "confirm all"), _COUNTS * raw_count)
    bounds["dashboard"] = raw_count
    for name, times in many.items():
        rounds = ", ".join(f"{time:.0f}" for time in times)
        report.add(
            name,
            times,
            "{:.0f} ms",
            at_most=round(bounds[name]) if name in bounds else None,
            details=f"{rounds}; at {_FEW:,}: {median(few[name]):.0f}",
        )
    report.add(
        "removal, beside the command",
        [removal["admin"] / removal["command"]],
        "{:.2f}×",
        at_least=_REMOVAL,
        details=f"{removal['admin']:,.0f} and {removal['command']:,.0f} sessions/s",
    )
    return report
