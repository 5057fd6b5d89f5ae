"""Purges archives that have expired: their sessions can no longer be restored."""

from datetime import timedelta

from django.db import transaction

from sessions_app.models import CleanupRun, RemovedSession

_BATCH_SIZE = 1000


def purge_expired(keep: timedelta, *, at_most: int | None = None) -> int:
    """Delete the archives of runs that ended more than `keep` ago; returns the number of rows.

    In batches, so that transactions stay short. Stops after about `at_most` rows; the next call
    continues.
    """
    purged = 0
    for run in CleanupRun.objects.archive_expired(keep):
        while deleted := _purge_batch(run):
            purged += deleted
            if at_most is not None and purged >= at_most:
                return purged
        run.mark_purged()
    return purged


def _purge_batch(run: CleanupRun) -> int:
    with transaction.atomic():
        CleanupRun.objects.select_for_update().get(pk=run.pk)
        oldest = run.removed_sessions.order_by("session_id").values_list("session_id", flat=True)
        ids = list(oldest[:_BATCH_SIZE])
        if ids:
            RemovedSession.objects.filter(
                run=run, session_id__gte=ids[0], session_id__lte=ids[-1]
            ).delete()
    return len(ids)
