"""Restores by restore_sessions: what comes back, and when nothing can."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection, models

from agents_app.models import Agent
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.factories import make_session, phantom

pytestmark = pytest.mark.django_db


def rows(**changes: Any) -> list[dict[str, Any]]:
    return [{**row, **changes} for row in Session.objects.order_by("pk").values()]


def cleanup() -> CleanupRun:
    call_command("cleanup_sessions", stdout=StringIO())
    return CleanupRun.objects.latest("pk")


def restore(run: CleanupRun) -> str:
    output = StringIO()
    call_command("restore_sessions", str(run.pk), stdout=output)
    run.refresh_from_db()
    return output.getvalue()


def varied_phantoms() -> None:
    ana = User.objects.create_user("ana")
    agent = Agent.objects.create(name="helper")
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    phantom()
    phantom(user=ana, agent=agent, metadata={"a": [1, None, "ü", {"b": 1.5}]})
    phantom(metadata={}, run_finished_at=moment, created_at=moment)
    phantom(metadata=[], name="Session-\n<b>'\"%s 🚀", created_at=moment)
    phantom(metadata="text", updated_at=moment + timedelta(days=1), created_at=moment)


def test_restores_everything_exactly() -> None:
    varied_phantoms()
    make_session(keep=True)
    before = rows(keep=True)
    run = cleanup()
    assert Session.objects.count() == 1
    output = restore(run)
    assert f"Restored 5 sessions of cleanup {run.pk}." in output
    assert rows() == before
    assert run.restored == 5
    assert not RemovedSession.objects.exists()


def test_metadata_that_is_null_stays_null() -> None:
    phantom(metadata=None)
    restore(cleanup())
    assert Session.objects.filter(metadata__isnull=True).count() == 1


@pytest.fixture
def later_column(transactional_db: None) -> Iterator[str]:
    """A column that is added to Session later, but not to the archive."""
    field = models.CharField(default="plain")
    field.contribute_to_class(Session, "mood")
    with connection.schema_editor() as editor:
        editor.add_field(Session, field)
    yield field.name
    with connection.schema_editor() as editor:
        editor.remove_field(Session, field)
    Session._meta.local_fields.remove(field)
    Session._meta._expire_cache()  # type: ignore[attr-defined]
    del Session.mood  # type: ignore[attr-defined]


@pytest.mark.django_db(transaction=True)
def test_a_column_that_the_archive_lacks_stops_a_cleanup(later_column: str) -> None:
    phantom(**{later_column: "cheerful"})
    with pytest.raises(CommandError, match=later_column):
        cleanup()
    assert Session.objects.values_list(later_column, flat=True).get() == "cheerful"


def test_restored_sessions_stay_until_their_mark_is_taken_away() -> None:
    varied_phantoms()
    before = rows(keep=True)
    output = restore(cleanup())
    assert "no later cleanup removes them again" in output
    assert cleanup().removed == 0
    assert rows() == before
    Session.objects.update(keep=False)
    again = cleanup()
    assert again.removed == 5
    restore(again)
    assert rows() == before


def test_ids_in_use_are_skipped_and_reported() -> None:
    kept, other = phantom(), phantom()
    run = cleanup()
    make_session(id=kept.pk, name="Somebody's")
    output = restore(run)
    assert "Restored 1 session of" in output
    assert "Skipped 1 whose ids are in use again" in output
    assert str(kept.pk) in output
    assert Session.objects.get(pk=kept.pk).name == "Somebody's"
    assert Session.objects.get(pk=other.pk).auto_named
    assert RemovedSession.objects.get().session_id == kept.pk
    Session.objects.filter(pk=kept.pk).delete()
    restore(run)
    assert Session.objects.get(pk=kept.pk).name == kept.name
    assert run.restored == 2


def test_user_and_agent_that_were_deleted_are_left_empty() -> None:
    ana, agent = User.objects.create_user("ana"), Agent.objects.create(name="helper")
    phantom(user=ana, agent=agent)
    run = cleanup()
    ana.delete()
    agent.delete()
    restore(run)
    chat_session = Session.objects.get()
    assert (chat_session.user, chat_session.agent) == (None, None)


def test_many_are_restored_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.cleanup.restoring._BATCH_SIZE", 4)
    ids = {phantom().pk for _ in range(11)}
    restore(cleanup())
    assert set(Session.objects.values_list("pk", flat=True)) == ids


@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (lambda run: run.delete(), "There is no cleanup"),
        (restore, "has no sessions to restore"),
        (
            lambda run: CleanupRun.objects.update(status="running", finished_at=None),
            "is still running",
        ),
    ],
    ids=["unknown", "restored already", "running"],
)
def test_nothing_to_restore(prepare: Any, complaint: str) -> None:
    phantom()
    run = cleanup()
    number = run.pk
    prepare(run)
    before = rows()
    with pytest.raises(CommandError, match=complaint) as failure:
        call_command("restore_sessions", str(number))
    assert failure.value.returncode == 1
    assert rows() == before


def test_without_an_archive_nothing_can_be_restored_and_nothing_promises_it(
    settings: Any,
) -> None:
    settings.CLEANUP_ARCHIVE_DAYS = 0
    phantom()
    output = StringIO()
    call_command("cleanup_sessions", stdout=output)
    run = CleanupRun.objects.get()
    assert run.removed == 1
    assert not RemovedSession.objects.exists()
    assert "restore_sessions" not in output.getvalue()
    with pytest.raises(CommandError, match="has no sessions to restore"):
        restore(run)
