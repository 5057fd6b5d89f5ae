"""Cleanups that are killed or stopped: what they committed is recorded and can be undone."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models.functions import Now

from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.cleanup.run_querysets import CleanupRunQuerySet
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.concurrency.helpers import held_transaction
from tests.factories import make_session, phantom
from tests.sessions_app.admin.helpers import Page, log_in

pytestmark = pytest.mark.django_db(transaction=True)

Manage = Callable[..., "subprocess.Popen[str]"]
PHANTOMS = 1500


@pytest.fixture
def under_way(manage: Manage) -> "subprocess.Popen[str]":
    """A cleanup that has removed some of many sessions, and is still running."""
    make_session(name="Mine")
    Session.objects.bulk_create(
        Session(name=f"Session-{number}", platform="automagik") for number in range(PHANTOMS)
    )
    process = manage("cleanup_sessions", "--batch-size", "1")
    while not CleanupRun.objects.filter(removed__gte=5).exists():
        assert process.poll() is None, process.communicate()
    return process


def silent_for_long(run: CleanupRun) -> None:
    """Make it look as if its heartbeat had timed out."""
    timeout = CleanupRunQuerySet.HEARTBEAT_TIMEOUT[connection.vendor]
    CleanupRun.objects.filter(pk=run.pk).update(heartbeat_at=Now() - 2 * timeout)


def test_killed(under_way: "subprocess.Popen[str]") -> None:
    before = set(Session.objects.values_list("pk", flat=True))
    under_way.kill()
    under_way.communicate(timeout=60)
    killed = CleanupRun.objects.get()
    assert killed.status == CleanupRun.Status.RUNNING
    assert 5 <= killed.removed < PHANTOMS
    assert killed.removed == killed.removed_sessions.count()
    assert Session.objects.count() == 1 + PHANTOMS - killed.removed

    silent_for_long(killed)
    call_command("cleanup_sessions")
    killed.refresh_from_db()
    assert killed.status == CleanupRun.Status.INTERRUPTED
    carried_on = CleanupRun.objects.exclude(pk=killed.pk).get()
    assert carried_on.removed == PHANTOMS - killed.removed
    assert Session.objects.get().name == "Mine"

    call_command("restore_sessions", str(killed.pk))
    call_command("restore_sessions", str(carried_on.pk))
    assert Session.objects.count() == 1 + PHANTOMS
    assert before <= set(Session.objects.values_list("pk", flat=True))
    assert not RemovedSession.objects.exists()


def test_a_killed_cleanup_is_seen_to_be_dead_without_anybody_marking_it(
    under_way: "subprocess.Popen[str]",
) -> None:
    under_way.kill()
    under_way.communicate(timeout=60)
    # Not before: on SQLite it would wait for the cleanup, which may have ended then.
    root = log_in(User.objects.create_superuser("root", password="secret"))
    run = CleanupRun.objects.get()
    page = f"/admin/sessions_app/cleanuprun/{run.pk}/change/"
    restore = f"/admin/sessions_app/cleanuprun/{run.pk}/restore/"
    # It may have lived until just now.
    assert "is still running" in Page.of(root, restore).text
    silent_for_long(run)
    before = CleanupRun.objects.values().get()
    assert "Interrupted" in Page.of(root, page).text
    for status, count in (("running", 0), ("interrupted", 1)):
        shown = Page.of(root, f"/admin/sessions_app/cleanuprun/?status__exact={status}")
        assert f"{count} cleanup run" in shown.text
    assert "exited unexpectedly" in Page.of(root, page).text
    assert f"Restore {run.removed} sessions that" in (asked := Page.of(root, restore)).text
    assert CleanupRun.objects.values().get() == before
    assert asked.press(None, asked.forms[-1]).messages == [f"Restored {run.removed} sessions."]
    run.refresh_from_db()
    assert (run.status, run.finished_at) == (CleanupRun.Status.INTERRUPTED, before["heartbeat_at"])


def test_a_cleanup_in_another_container_is_not_taken_for_dead(manage: Manage) -> None:
    """Its host may have this one's name; its process id then means nothing here."""
    phantom()
    nowhere = 2**22 + 1  # above every process id
    run = CleanupRun.objects.create(
        source="command", started_by="me@here", host=socket.gethostname(), pid=nowhere, removed=1
    )
    RemovedSession.objects.create(
        run=run, session_id=uuid4(), created_at=run.started_at, updated_at=run.started_at
    )
    other = manage("cleanup_sessions", "--json")
    assert json.loads(other.communicate(timeout=60)[0])["removed"] == 1
    with pytest.raises(CommandError, match="is still running"):
        call_command("restore_sessions", str(run.pk))
    run.refresh_from_db()
    assert run.status == CleanupRun.Status.RUNNING


def test_a_dead_cleanup_whose_process_id_is_in_use_again() -> None:
    run = CleanupRun.objects.create(
        source="command", started_by="me@here", host=socket.gethostname(), pid=os.getpid()
    )
    silent_for_long(run)
    call_command("cleanup_sessions")
    run.refresh_from_db()
    assert run.status == CleanupRun.Status.INTERRUPTED


def test_a_cleanup_that_waits_goes_on_beating_and_ends_as_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it has been presumed dead meanwhile."""
    monkeypatch.setattr(CleanupRunQuerySet, "HEARTBEAT_INTERVAL", timedelta(milliseconds=20))
    for _ in range(3):
        phantom()
    run = start_cleanup(source=CleanupRun.Source.COMMAND, started_by="me", matched=3, criteria={})
    runs = CleanupRun.objects.filter(pk=run.pk)
    revived = []

    def wait(removed: int) -> None:
        silent_for_long(run)
        CleanupRun.objects.mark_presumed_dead()
        give_up = time.monotonic() + 60
        while CleanupRun.objects.presumed_dead() or not runs.filter(status="running").exists():
            assert time.monotonic() < give_up, "there was no heartbeat"
        revived.append(removed)

    run_cleanup(run, Session.objects.all(), Target(), Options(batch_size=1), on_removed=wait)
    assert revived == [1, 1, 1]
    run.refresh_from_db()
    assert (run.status, run.removed, run.error) == (CleanupRun.Status.DONE, 3, "")
    assert "heartbeat" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.skipif(
    "connection.vendor != 'postgresql'",
    reason="SQLite's one lock would hold up a heartbeat as well",
)
def test_a_cleanup_that_waits_for_a_lock_is_alive(under_way: "subprocess.Popen[str]") -> None:
    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")

    with held_transaction(lock):
        heard: set[Any] = set()
        counted: set[int] = set()
        while len(heard) < 3:
            assert under_way.poll() is None, under_way.communicate()
            run = CleanupRun.objects.get()
            heard.add(run.heartbeat_at)
            counted.add(run.removed)
    assert len(counted) == 1


@pytest.mark.parametrize(
    ("by", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_asked_to_stop(under_way: "subprocess.Popen[str]", by: signal.Signals, status: int) -> None:
    under_way.send_signal(by)
    output, errors = under_way.communicate(timeout=60)
    run = CleanupRun.objects.get()
    assert under_way.returncode == status
    assert run.status == CleanupRun.Status.PARTIAL
    assert 5 <= run.removed < PHANTOMS
    assert run.removed == run.removed_sessions.count() == PHANTOMS + 1 - Session.objects.count()
    assert f"removed {run.removed:,} of {PHANTOMS:,} sessions" in output
    assert f"restore_sessions {run.pk}" in output
    assert errors == f"CommandError: Stopped by {by.name}; run it again to continue.\n"


def test_json_of_a_cleanup_that_was_stopped(manage: Manage) -> None:
    Session.objects.bulk_create(
        Session(name=f"Session-{number}", platform="automagik") for number in range(PHANTOMS)
    )
    process = manage("cleanup_sessions", "--batch-size", "1", "--json")
    while not CleanupRun.objects.filter(removed__gte=5).exists():
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    outcome = json.loads(output)
    run = CleanupRun.objects.get()
    assert (outcome["status"], outcome["run"]) == ("partial", run.pk)
    assert (outcome["matched"], outcome["removed"]) == (PHANTOMS, run.removed)


def test_output_that_nobody_reads_any_more(manage: Manage) -> None:
    phantom()
    process = manage("cleanup_sessions", "--dry-run")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    assert process.wait(timeout=60) == 1
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


def test_the_command_loads_neither_the_site_nor_an_agent_library(manage: Manage) -> None:
    process = manage("cleanup_sessions", "--json", PYTHONPROFILEIMPORTTIME="1")
    _, imports = process.communicate(timeout=60)
    loaded = {line.rpartition("|")[2].strip() for line in imports.splitlines()}
    assert "sessions_app.cleanup.run" in loaded
    assert not {name for name in loaded if name.split(".")[0] in {"pydantic_ai", "xllamacpp"}}
    assert "config.urls" not in loaded
