"""Restores in slices, concurrent with each other, a purge, a cleanup or a use of the same id."""

import contextlib
import threading
from datetime import timedelta
from io import StringIO
from uuid import UUID

import pytest
from django.core.management import call_command
from django.utils import timezone

from sessions_app.cleanup.purging import purge_expired
from sessions_app.cleanup.restoring import NotRestorable, restore_chosen, restore_run, restore_slice
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.concurrency.helpers import Other, before_statement, elsewhere
from tests.factories import make_session, phantom

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("restoring", "purging"):
        monkeypatch.setattr(f"sessions_app.cleanup.{module}._BATCH_SIZE", 3)


def cleaned(number: int) -> CleanupRun:
    for _ in range(number):
        phantom()
    call_command("cleanup_sessions", stdout=StringIO())
    return CleanupRun.objects.latest("pk")


def restore_in_slices(run_id: int) -> int:
    """As requests do, each with its own copy of the run; returns how many were restored."""
    after: UUID | None = None
    count = 0
    while True:
        run = CleanupRun.objects.get(pk=run_id)
        restored = restore_slice(run, after=after, seconds=0)
        count += restored.count
        after = restored.next
        if after is None:
            return count


def assert_every_session_is_in_one_place(run: CleanupRun, number: int) -> None:
    run.refresh_from_db()
    there = set(Session.objects.values_list("pk", flat=True))
    archived = set(RemovedSession.objects.values_list("session_id", flat=True))
    assert not there & archived
    assert len(there) == run.restored
    assert len(there | archived) == number


def test_two_restores_in_slices_share_the_work() -> None:
    run = cleaned(40)
    start = threading.Barrier(2)

    def work() -> int:
        start.wait(timeout=60)
        return restore_in_slices(run.pk)

    counts = [other.result() for other in [Other(work), Other(work)]]
    assert sum(counts) == 40
    assert_every_session_is_in_one_place(run, 40)
    assert not Session.objects.filter(keep=False).exists()


def test_a_restore_in_slices_and_single_ones_share_the_work() -> None:
    run = cleaned(40)
    ids = list(run.removed_sessions.values_list("session_id", flat=True))
    start = threading.Barrier(2)

    def single() -> int:
        start.wait(timeout=60)
        again = CleanupRun.objects.get(pk=run.pk)
        return sum(restore_chosen(again, [pk]).count for pk in reversed(ids))

    def slices() -> int:
        start.wait(timeout=60)
        return restore_in_slices(run.pk)

    assert sum(other.result() for other in [Other(single), Other(slices)]) == 40
    assert_every_session_is_in_one_place(run, 40)


def test_a_restore_in_slices_meets_a_purge() -> None:
    run = cleaned(40)
    long_ago = timezone.now() - timedelta(days=31)
    CleanupRun.objects.filter(pk=run.pk).update(finished_at=long_ago)
    start = threading.Barrier(2)

    def restore() -> None:
        start.wait(timeout=60)
        with contextlib.suppress(NotRestorable):  # of what has been purged
            restore_in_slices(run.pk)

    def purge() -> int:
        start.wait(timeout=60)
        return purge_expired(timedelta(days=30))

    restoring, purging = Other(restore), Other(purge)
    purged = purging.result()
    restoring.result()
    run.refresh_from_db()
    assert not RemovedSession.objects.exists()
    assert Session.objects.count() == run.restored == 40 - purged
    assert run.archive_purged_at


def test_a_purge_between_the_look_and_the_lock_leaves_nothing_to_restore() -> None:
    run = cleaned(5)
    long_ago = timezone.now() - timedelta(days=31)
    CleanupRun.objects.filter(pk=run.pk).update(finished_at=long_ago)
    purge = before_statement(
        'FROM "removed_sessions"', lambda: elsewhere(lambda: purge_expired(timedelta(days=30)))
    )
    with purge, pytest.raises(NotRestorable):
        restore_run(run)
    assert not Session.objects.exists()


def test_no_cleanup_takes_what_is_being_restored() -> None:
    run = cleaned(40)
    start = threading.Barrier(2)

    def clean() -> None:
        start.wait(timeout=60)
        for _ in range(5):
            call_command("cleanup_sessions", batch_size=2, stdout=StringIO())

    def restore() -> int:
        start.wait(timeout=60)
        return restore_in_slices(run.pk)

    cleaning, restoring = Other(clean), Other(restore)
    cleaning.result()
    assert restoring.result() == 40
    assert Session.objects.filter(keep=True).count() == 40
    assert CleanupRun.objects.exclude(pk=run.pk).filter(removed__gt=0).count() == 0


def test_a_batch_whose_id_is_taken_meanwhile_restores_nothing_and_the_next_try_the_rest() -> None:
    run = cleaned(5)
    taken = run.removed_sessions.order_by("session_id").values_list("session_id", flat=True)[1]
    restored = restore_slice(run, seconds=0)
    assert (restored.count, restored.next is None) == (3, False)
    Session.objects.filter(pk=taken).delete()
    last = run.removed_sessions.latest("session_id").session_id
    make_session(id=last)
    restored = restore_slice(run, after=restored.next, seconds=0)
    assert (restored.count, restored.ids_in_use) == (1, [last])
    assert restore_slice(run, after=restored.next, seconds=0).next is None
    assert RemovedSession.objects.get().session_id == last
