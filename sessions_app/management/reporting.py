"""What cleanup_sessions tells people: what goes, what stays and why, and how far it is."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from django.core.management.base import OutputWrapper
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sessions_app.models import Session
from sessions_app.querysets import Kept, SessionQuerySet, Survey

SAMPLE = 5
_LOG_INTERVAL = 5  # seconds


def print_survey(out: OutputWrapper, survey: Survey, expected: int) -> None:
    """A table: how many sessions go, and how many stay and why."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_row(f"{expected:,}", "removable: auto-named, on automagik, and empty")
    if expected < survey.removable:
        table.add_row(f"{survey.removable - expected:,}", "removable as well, but above the limit")
    for reason, label in Kept.LABELS.items():
        table.add_row(f"{getattr(survey.kept, reason):,}", f"kept: {label}")
    _print_table(out, table)


def print_sample(out: OutputWrapper, removable: SessionQuerySet, expected: int) -> None:
    """The first few of the sessions that would go."""
    rows = removable.order_by("pk").select_related("user")[: min(SAMPLE, expected)]
    table = Table(box=None, pad_edge=False)
    for heading in ("Id", "Name", "User", "Created"):
        table.add_column(heading, no_wrap=True)
    for chat_session in rows:
        table.add_row(*map(_printable, _cells(chat_session)))
    if table.row_count:
        out.write(f"\nThe first {table.row_count} of those to go:")
        _print_table(out, table)


def _cells(chat_session: Session) -> tuple[str, str, str, str]:
    user = chat_session.user
    return (
        str(chat_session.pk),
        chat_session.name if len(chat_session.name) <= 44 else f"{chat_session.name[:43]}…",
        user.get_username() if user else "–",
        f"{chat_session.created_at:%Y-%m-%d %H:%M}",
    )


def _printable(text: str) -> Text:
    """Names are people's text: neither rich's markup nor the terminal's escapes apply."""
    return Text("".join(char if char.isprintable() else "\ufffd" for char in text))


def _print_table(out: OutputWrapper, table: Table) -> None:
    # As wide as it needs to be: a log is not 80 columns, and a terminal can wrap.
    console = Console(width=200, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(table)
    out.write("\n".join(line.rstrip() for line in capture.get().splitlines()))


@contextlib.contextmanager
def progress(out: OutputWrapper, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Tell how far a cleanup is: a bar on a terminal, otherwise a line now and then.

    Yields a function that is told the size of each batch. `quiet` leaves the lines out.
    """
    if sys.stderr.isatty():
        with Progress(
            TextColumn("Removing"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=total)
            yield lambda count: bar.advance(task, count)
        return
    removed, said_at = 0, time.monotonic()

    def say(count: int) -> None:
        nonlocal removed, said_at
        removed += count
        if not quiet and time.monotonic() - said_at >= _LOG_INTERVAL:
            said_at = time.monotonic()
            out.write(f"Removed {removed:,} of {total:,} so far.")

    yield say
