"""Restores archived sessions.

`restore_run` restores everything, and `restore_slice` does so over several requests;
`restore_chosen` restores single sessions.
"""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Model, QuerySet

from sessions_app.models import CleanupRun, RemovedSession, Session

_BATCH_SIZE = 1000


class NotRestorable(Exception):
    """The run is still running, or its archive is empty or purged."""


@dataclass
class RestoreResult:
    """How many sessions were restored, and which ids are in use and so stay in the archive.

    `next` is the id after which the next slice begins; None if there is none.
    """

    count: int = 0
    ids_in_use: list[UUID] = field(default_factory=list)
    next: UUID | None = None


def restore_run(run: CleanupRun) -> RestoreResult:
    """Restore the sessions that `run` removed as they were, marked keep.

    The mark keeps the next cleanup from removing them again. A user or an agent that has been
    deleted since becomes NULL. A session whose id is in use again is skipped and stays in the
    archive. Commits batch by batch: after an interruption, another call restores the rest.

    Raises NotRestorable.
    """
    return restore_slice(run, seconds=None)


def restore_slice(
    run: CleanupRun, *, after: UUID | None = None, seconds: float | None
) -> RestoreResult:
    """Like `restore_run`, for about `seconds`, beginning after the session with the id `after`.

    Each call handles at least one batch, so that a restore makes progress.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    _check_restorable(run, may_be_empty=after is not None)
    restored = RestoreResult()
    while True:
        archived = run.removed_sessions.all()
        if after is not None:
            archived = archived.filter(session_id__gt=after)
        batch = _restore_batch(run, archived)
        restored.count += batch.count
        restored.ids_in_use += batch.ids_in_use
        restored.next = after = batch.next
        if after is None or (deadline is not None and time.monotonic() >= deadline):
            break
    run.refresh_from_db()
    return restored


def restore_chosen(run: CleanupRun, session_ids: Collection[UUID]) -> RestoreResult:
    """Restore those of the sessions that are in the run's archive, in one transaction.

    Otherwise like `restore_run`. For at most one batch of sessions.
    """
    _check_restorable(run, may_be_empty=True)
    restored = _restore_batch(run, run.removed_sessions.filter(session_id__in=session_ids))
    restored.next = None
    run.refresh_from_db()
    return restored


def _check_restorable(run: CleanupRun, *, may_be_empty: bool) -> None:
    """Raises NotRestorable."""
    CleanupRun.objects.mark_presumed_dead()
    current = CleanupRun.objects.with_restore_obstacle().get(pk=run.pk)
    obstacle = CleanupRun.RestoreObstacle
    match current.restore_obstacle:
        case obstacle.RUNNING:
            raise NotRestorable(f"Cleanup {run.pk} is still running; wait for it to end.")
        case obstacle.PURGED:
            purged = f"{current.archive_purged_at:%Y-%m-%d}"
            raise NotRestorable(f"The archive of cleanup {run.pk} was purged on {purged}.")
        case obstacle.EMPTY if not may_be_empty:
            raise NotRestorable(f"Cleanup {run.pk} has no sessions to restore.")


def _restore_batch(run: CleanupRun, archived: QuerySet[RemovedSession]) -> RestoreResult:
    """Restore the first of these, in one transaction; `next` is None when there were none."""
    with transaction.atomic():
        # One restore of a run at a time, and none while its archive is being purged.
        CleanupRun.objects.select_for_update().get(pk=run.pk)
        rows = list(archived.order_by("session_id")[:_BATCH_SIZE])
        if not rows:
            return RestoreResult()
        ids = [row.session_id for row in rows]
        in_use = set(Session.objects.filter(pk__in=ids).values_list("pk", flat=True))
        restorable = [row for row in rows if row.session_id not in in_use]
        Session.objects.bulk_create(_as_sessions(restorable))
        RemovedSession.objects.filter(
            run=run, session_id__in=[row.session_id for row in restorable]
        ).delete()
        run.add_restored(len(restorable))
    return RestoreResult(len(restorable), sorted(in_use), next=ids[-1])


def _as_sessions(archived: list[RemovedSession]) -> list[Session]:
    """The sessions, marked keep, without users and agents that have been deleted."""
    agent_model = Session._meta.get_field("agent").related_model
    users = _existing(User, (row.user_id for row in archived))
    agents = _existing(agent_model, (row.agent_id for row in archived))
    for row in archived:
        if row.user_id not in users:
            row.user_id = None
        if row.agent_id not in agents:
            row.agent_id = None
    columns = Session.archived_columns()
    return [
        Session(
            id=row.session_id,
            **{column: getattr(row, column) for column in columns} | {"keep": True},
        )
        for row in archived
    ]


def _existing(model: type[Model], keys: Iterable[int | None]) -> set[int]:
    wanted = {key for key in keys if key is not None}
    return set(model._base_manager.filter(pk__in=wanted).values_list("pk", flat=True))
