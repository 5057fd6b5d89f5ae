"""Cleanups that are killed or stopped: what they committed is recorded and can be undone."""

import json
import signal
import subprocess
from collections.abc import Callable

import pytest
from django.core.management import call_command

from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.factories import make_session, phantom

pytestmark = pytest.mark.django_db(transaction=True)

Manage = Callable[..., "subprocess.Popen[str]"]
PHANTOMS = 1500


@pytest.fixture
def under_way(manage: Manage) -> "subprocess.Popen[str]":
    """A cleanup that has removed some of many sessions, and is still at it."""
    make_session(name="Mine")
    Session.objects.bulk_create(
        Session(name=f"Session-{number}", platform="automagik") for number in range(PHANTOMS)
    )
    process = manage("cleanup_sessions", "--batch-size", "1")
    while not CleanupRun.objects.filter(removed__gte=5).exists():
        assert process.poll() is None, process.communicate()
    return process


def test_killed(under_way: "subprocess.Popen[str]") -> None:
    before = set(Session.objects.values_list("pk", flat=True))
    under_way.kill()
    under_way.communicate(timeout=60)
    killed = CleanupRun.objects.get()
    assert killed.status == CleanupRun.Status.RUNNING
    assert 5 <= killed.removed < PHANTOMS
    assert killed.removed == killed.removed_sessions.count()
    assert Session.objects.count() == 1 + PHANTOMS - killed.removed

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
    assert errors == f"CommandError: Stopped by {by.name}; run it again to go on.\n"


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
    assert "sessions_app.cleanup" in loaded
    assert not {name for name in loaded if name.split(".")[0] in {"pydantic_ai", "xllamacpp"}}
    assert "config.urls" not in loaded
