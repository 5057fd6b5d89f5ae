"""For how long removed sessions can be restored."""

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from sessions_app.cleanup.purging import purge_expired
from sessions_app.models import CleanupRun, Session
from tests.factories import phantom

pytestmark = pytest.mark.django_db


def cleanup() -> CleanupRun:
    call_command("cleanup_sessions", stdout=StringIO())
    return CleanupRun.objects.latest("pk")


def restore(run: CleanupRun) -> None:
    call_command("restore_sessions", str(run.pk), stdout=StringIO())


def test_archives_are_purged_by_a_cleanup_when_they_are_old(settings: Any) -> None:
    settings.CLEANUP_ARCHIVE_DAYS = 10
    old, young = make_ended_run(days_ago=11), make_ended_run(days_ago=9)
    cleanup()
    assert not old.removed_sessions.exists()
    assert young.removed_sessions.count() == 3
    with pytest.raises(CommandError, match="was purged on"):
        restore(old)
    restore(young)
    assert Session.objects.count() == 3


def test_purging_can_be_spread_over_several_cleanups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.cleanup.purging._BATCH_SIZE", 2)
    old = make_ended_run(days_ago=31)
    assert purge_expired(timedelta(days=30), at_most=2) == 2
    old.refresh_from_db()
    assert (old.archived, old.archive_purged_at) == (1, None)
    assert purge_expired(timedelta(days=30), at_most=2) == 1
    old.refresh_from_db()
    assert old.archive_purged_at is not None


def make_ended_run(*, days_ago: int) -> CleanupRun:
    for _ in range(3):
        phantom()
    run = cleanup()
    run.finished_at = timezone.now() - timedelta(days=days_ago)
    run.save(update_fields=["finished_at"])
    return run
