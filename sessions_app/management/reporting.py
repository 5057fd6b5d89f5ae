"""What the commands print: what is removed or kept and why, the progress, and the cleanups."""

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sessions_app.displayable import printable
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import KeptCounts, RemovalPlan, SessionQuerySet
from sessions_app.time_conversion import local_time

SAMPLE_SIZE = 5
RUNS_SHOWN = 100  # on a terminal
_NAME_LENGTH = 44  # characters
_REPORT_INTERVAL = 5  # seconds


def print_plan(out: OutputWrapper, plan: RemovalPlan, expected: int) -> None:
    """Print how many sessions are to be removed, and how many are kept and why."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_row(f"{expected:,}", "removable: auto-named, on automagik, and empty")
    if expected < plan.removable:
        table.add_row(f"{plan.removable - expected:,}", "removable as well, but above the limit")
    for reason, label in KeptCounts.LABELS.items():
        table.add_row(f"{getattr(plan.kept, reason):,}", f"kept: {label}")
    _print_table(out, table)


def print_sample(out: OutputWrapper, removable: SessionQuerySet, expected: int) -> None:
    """Print the first few of the sessions that are to be removed."""
    rows = removable.order_by("pk").select_related("user")[: min(SAMPLE_SIZE, expected)]
    table = Table(box=None, pad_edge=False)
    for heading in ("Id", "Name", "User", "Created"):
        table.add_column(heading, no_wrap=True)
    for chat_session in rows:
        # As Text: rich would interpret its markup in a plain string.
        table.add_row(*(Text(printable(cell)) for cell in _cells(chat_session)))
    if table.row_count:
        out.write(f"\nThe first {table.row_count} of them:")
        _print_table(out, table)


def print_runs(out: OutputWrapper) -> None:
    """Print the cleanups, newest first: a table on a terminal, otherwise a line each."""
    runs = CleanupRun.objects.with_restorable().order_by("-pk")
    if not out.isatty():
        for run in runs.iterator():
            out.write("\t".join(_run_cells(run)))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("Id", "Started", "By", "Removed", "Restorable", "Until"):
        is_number = heading in {"Id", "Removed", "Restorable"}
        table.add_column(heading, no_wrap=True, justify="right" if is_number else "left")
    for run in runs[:RUNS_SHOWN]:
        table.add_row(*(Text(cell) for cell in _run_cells(run)))
    if not table.row_count:
        out.write("There are no cleanups yet.")
        return
    _print_table(out, table)
    if more := CleanupRun.objects.count() - table.row_count:
        out.write(f"Not shown: {more:,} older. Pipe the output to list all of them.")


def _run_cells(run: CleanupRun) -> tuple[str, ...]:
    if run.restore_obstacle == CleanupRun.RestoreObstacle.RUNNING:
        until = "when it has ended"
    else:
        until = f"{local_time(run.restorable_until):%Y-%m-%d}" if run.restorable else "–"
    return (
        str(run.pk),
        f"{local_time(run.started_at):%Y-%m-%d %H:%M}",
        f"{' '.join(printable(run.started_by).split())} ({run.source})",
        str(run.removed),
        str(run.restorable),
        until,
    )


def _cells(chat_session: Session) -> tuple[str, str, str, str]:
    name, user = chat_session.name, chat_session.user
    return (
        str(chat_session.pk),
        name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…",
        user.get_username() if user else "–",
        f"{chat_session.created_at:%Y-%m-%d %H:%M}",
    )


def _print_table(out: OutputWrapper, table: Table) -> None:
    # Wider than 80 columns: a terminal can wrap lines, and logs need not.
    console = Console(width=200, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(table)
    out.write("\n".join(line.rstrip() for line in capture.get().splitlines()))


def progress(
    out: OutputWrapper, total: int, *, quiet: bool
) -> contextlib.AbstractContextManager[Callable[[int], None]]:
    """Report progress: as a bar on a terminal, otherwise as a line every few seconds.

    Yields a function to call with the size of each batch. `quiet` omits the lines.
    """
    return _bar(total) if sys.stderr.isatty() else _lines(out, total, quiet=quiet)


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    columns = TextColumn("Removing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    # A log line in between would break the bar; the outcome is printed after it anyway.
    logging.disable(logging.INFO)
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)
    finally:
        logging.disable(logging.NOTSET)


@contextlib.contextmanager
def _lines(out: OutputWrapper, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    removed, reported_at = 0, time.monotonic()

    def on_removed(count: int) -> None:
        nonlocal removed, reported_at
        removed += count
        if not quiet and time.monotonic() - reported_at >= _REPORT_INTERVAL:
            reported_at = time.monotonic()
            out.write(f"Removed {removed:,} of {total:,} so far.")

    yield on_removed
