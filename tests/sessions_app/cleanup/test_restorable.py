"""What can be restored: the list of cleanups, the command and the admin say the same."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from sessions_app.models import CleanupRun, Session
from tests.factories import phantom

pytestmark = pytest.mark.django_db


def change(**values: Any) -> Callable[[CleanupRun], object]:
    return lambda run: CleanupRun.objects.filter(pk=run.pk).update(**values)


def restore(run: CleanupRun) -> None:
    call_command("restore_sessions", str(run.pk), stdout=StringIO())


def restore_half(run: CleanupRun) -> None:
    removed = run.removed_sessions.first()
    assert removed
    removed.delete()
    run.add_restored(1)


NOW = timezone.now()
LONG_AGO, FUTURE = NOW - timedelta(hours=1), NOW + timedelta(days=1)
STATES: dict[str, tuple[Callable[[CleanupRun], object], int]] = {
    "as it ended": (lambda run: None, 2),
    "running": (change(status="running", finished_at=None, heartbeat_at=FUTURE), 0),
    "presumed dead": (change(status="running", finished_at=None, heartbeat_at=LONG_AGO), 2),
    "restored in part": (restore_half, 1),
    "restored": (restore, 0),
    "purged": (change(archive_purged_at=NOW), 0),
    "not archived": (lambda run: run.removed_sessions.all().delete(), 0),
}


@pytest.mark.parametrize(("bring_about", "restorable"), STATES.values(), ids=list(STATES))
def test_the_list_the_admin_and_the_command_agree(
    bring_about: Callable[[CleanupRun], object], restorable: int
) -> None:
    phantom()
    phantom()
    call_command("cleanup_sessions", stdout=StringIO())
    run = CleanupRun.objects.get()
    bring_about(run)
    present = Session.objects.count()

    listed = StringIO()
    call_command("restore_sessions", "--list", stdout=listed)
    assert listed.getvalue().split("\t")[4] == str(restorable)

    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    url = f"/admin/sessions_app/cleanuprun/{run.pk}/restore/"
    page = client.get(url).content.decode()
    assert ("cannot be restored" in page) is (restorable == 0)
    assert (f"Restore <strong>{restorable} session" in page) is (restorable > 0)

    if restorable:
        restore(run)
    else:
        with pytest.raises(CommandError):
            restore(run)
    assert Session.objects.count() == present + restorable
