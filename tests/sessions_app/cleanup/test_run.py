"""Cleanups from start to end: what they log, and what a start does to runs presumed dead."""

import logging
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import continue_cleanup, run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Session
from tests.factories import phantom

pytestmark = pytest.mark.django_db


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="sessions_app.cleanup")
    return caplog


def start(number: int = 5, source: CleanupRun.Source = CleanupRun.Source.COMMAND) -> CleanupRun:
    for _ in range(number):
        phantom()
    return start_cleanup(source=source, started_by="ana", matched=number, criteria={})


def lines(log: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == level]


def test_the_end_is_logged_at_info_and_each_batch_at_debug(
    logged: pytest.LogCaptureFixture,
) -> None:
    run = start()
    run_cleanup(run, Session.objects.all(), Target(), Options(batch_size=2))
    started, *batches = lines(logged, logging.DEBUG)
    assert started == f"Cleanup {run.pk} started by ana (command): 5 sessions match"
    prefix = f"Cleanup {run.pk}: removed "
    assert [line.removeprefix(prefix).split()[0] for line in batches] == ["2", "2", "1", "0"]
    [end] = lines(logged, logging.INFO)
    assert end.startswith(f"Cleanup {run.pk} done: removed 5 of 5 sessions in ")
    assert end.endswith(" s (started by ana, command)")


def test_the_end_of_a_continued_cleanup_is_logged_once(logged: pytest.LogCaptureFixture) -> None:
    run = start(source=CleanupRun.Source.ADMIN)
    while run.status == CleanupRun.Status.RUNNING:
        continue_cleanup(run, Session.objects.all(), seconds=0)
    [end] = lines(logged, logging.INFO)
    assert end.startswith(f"Cleanup {run.pk} done: removed 5 of 5 sessions in ")


def test_a_failure_is_left_to_the_caller_to_report(
    logged: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start()

    def fail(run: CleanupRun, count: int) -> None:
        raise OperationalError("disk is full")

    monkeypatch.setattr(CleanupRun, "add_removed", fail)
    with pytest.raises(OperationalError):
        run_cleanup(run, Session.objects.all(), Target(), Options())
    assert run.status == CleanupRun.Status.FAILED
    assert {record.levelno for record in logged.records} == {logging.DEBUG}


def test_runs_presumed_dead_are_marked_as_interrupted() -> None:
    dead = CleanupRun.objects.create(
        source=CleanupRun.Source.ADMIN,
        started_by="ana",
        heartbeat_at=timezone.now() - timedelta(minutes=6),
    )
    alive = CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by="ana")
    call_command("cleanup_sessions", stdout=StringIO())
    dead.refresh_from_db()
    alive.refresh_from_db()
    assert dead.status == CleanupRun.Status.INTERRUPTED
    assert dead.finished_at == dead.heartbeat_at
    assert alive.status == CleanupRun.Status.RUNNING
