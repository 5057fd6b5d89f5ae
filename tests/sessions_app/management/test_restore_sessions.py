"""restore_sessions --list: on a terminal, in a pipe, and bad usage."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.management import reporting
from sessions_app.models import CleanupRun, Session
from tests.factories import phantom

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def cleaned(number: int) -> CleanupRun:
    for _ in range(number):
        phantom()
    call_command("cleanup_sessions", stdout=StringIO())
    return CleanupRun.objects.latest("pk")


def listed(out: StringIO | None = None) -> list[str]:
    out = out or StringIO()
    call_command("restore_sessions", "--list", stdout=out)
    return out.getvalue().splitlines()


def test_a_line_for_each_run_in_a_pipe() -> None:
    restored, whole, empty = cleaned(2), cleaned(3), cleaned(0)
    call_command("restore_sessions", str(restored.pk), stdout=StringIO())
    CleanupRun.objects.filter(pk=whole.pk).update(started_by="me\t\x1b[2J\n@here")
    rows = [line.split("\t") for line in listed()]
    assert [len(row) for row in rows] == [6, 6, 6]
    assert [[row[0], *row[3:5]] for row in rows] == [
        [str(empty.pk), "0", "0"],
        [str(whole.pk), "3", "3"],
        [str(restored.pk), "2", "0"],
    ]
    assert [row[5] == "–" for row in rows] == [True, False, True]
    assert rows[1][5] == f"{timezone.localdate() + timedelta(days=30):%Y-%m-%d}"
    assert "@here (command)" in rows[1][2]
    assert "\x1b" not in rows[1][2]


def test_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert listed(Terminal()) == ["There are no cleanups yet."]
    assert listed() == []
    cleaned(1)
    newest = cleaned(2)
    heading, first, _ = listed(Terminal())
    assert heading.split() == ["Id", "Started", "By", "Removed", "Restorable", "Until"]
    assert first.split()[0] == str(newest.pk)
    monkeypatch.setattr(reporting, "RUNS_SHOWN", 1)
    assert listed(Terminal())[-1] == "Not shown: 1 older. Pipe the output to list all of them."


def test_runs_that_are_running_dead_or_purged() -> None:
    running, dead, purged = cleaned(1), cleaned(1), cleaned(1)
    runs = CleanupRun.objects
    now = timezone.now()
    runs.filter(pk__in=[running.pk, dead.pk]).update(
        status="running", finished_at=None, heartbeat_at=now
    )
    runs.filter(pk=dead.pk).update(heartbeat_at=now - timedelta(hours=1))
    runs.filter(pk=purged.pk).update(archive_purged_at=now)
    rows = {row[0]: row[4:] for row in (line.split("\t") for line in listed())}
    assert rows[str(running.pk)] == ["0", "when it has ended"]
    assert rows[str(dead.pk)][0] == "1"
    assert rows[str(purged.pk)] == ["0", "–"]
    assert runs.get(pk=dead.pk).status == "running"  # listing writes nothing


def test_listing_takes_one_query() -> None:
    for _ in range(3):
        cleaned(1)
    with CaptureQueriesContext(connection) as queries:
        assert len(listed()) == 3
    assert len(queries) == 1


@pytest.mark.parametrize("arguments", [[], ["1", "--list"], ["x"], ["0"]])
def test_bad_usage(arguments: list[Any]) -> None:
    with pytest.raises(CommandError):
        call_command("restore_sessions", *arguments)
    assert not Session.objects.exists()
