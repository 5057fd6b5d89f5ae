"""Cleanups from start to end: the only place that removes sessions in bulk.

The command runs one to its end (`run_cleanup`); the admin goes on with one request after
request (`continue_cleanup`). Both record a CleanupRun and remove in the batches of
sessions_app.batches.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error, OperationalError, connection
from django.db.models.functions import Now

from sessions_app.archive import purge_expired
from sessions_app.batches import Batch, Batches, KeyRange, batches_for, equal_shares
from sessions_app.heartbeat import heartbeat
from sessions_app.models import CleanupRun
from sessions_app.querysets import EVER, SessionQuerySet, Survey, Window

DEFAULT_BATCH_SIZE = 1000
MAX_BATCH_SIZE = 10_000
MAX_WORKERS = 16
PURGED_PER_REQUEST = 10_000
_TRIES = 5
# PostgreSQL's codes (manual, appendix A) for what passes: a lock held too long by somebody
# else (lock_not_available, deadlock_detected), a serialization failure.
_PASSING = {"55P03", "40P01", "40001"}


@dataclass(frozen=True)
class Criteria:
    """What a cleanup may remove, and how it goes about it."""

    window: Window = EVER
    limit: int | None = None  # sessions, at most
    max_seconds: float | None = None
    batch_size: int = DEFAULT_BATCH_SIZE
    workers: int = 1

    def __post_init__(self) -> None:
        """Raises ValueError for criteria that make no sense."""
        if not 1 <= self.batch_size <= MAX_BATCH_SIZE:
            raise ValueError(f"The batch size must be between 1 and {MAX_BATCH_SIZE}.")
        if not 1 <= self.workers <= MAX_WORKERS:
            raise ValueError(f"The number of workers must be between 1 and {MAX_WORKERS}.")
        if self.limit is not None and self.limit < 1:
            raise ValueError("The limit must be at least 1.")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError("The number of seconds must be more than 0.")

    def expected(self, survey: Survey) -> int:
        """How many sessions will be removed, given all the time it takes."""
        return survey.removable if self.limit is None else min(self.limit, survey.removable)

    def as_json(self) -> dict[str, Any]:
        """For the record: only what was asked for."""
        asked = {
            "created_after": self.window.created_after and self.window.created_after.isoformat(),
            "created_before": self.window.created_before and self.window.created_before.isoformat(),
            "limit": self.limit,
            "max_seconds": self.max_seconds,
            "batch_size": self.batch_size,
            "workers": self.workers,
        }
        return {name: value for name, value in asked.items() if value is not None}


@dataclass
class _Walk:
    """What the workers of one cleanup have in common."""

    batches: Batches
    criteria: Criteria
    stop: threading.Event
    on_removed: Callable[[int], None]
    deadline: float | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def over(self, keys: KeyRange) -> KeyRange | None:
        """Remove what can be removed in `keys`; returns what it did not get to, or None."""
        left = self.criteria.limit
        while not self.stop.is_set():
            size = self.criteria.batch_size if left is None else min(self.criteria.batch_size, left)
            if size == 0:
                return None
            batch = self._remove(keys, size)
            if batch.last is None:
                return None
            keys = KeyRange(after=batch.last, upto=keys.upto)
            if left is not None:
                left -= batch.removed
            with self._lock:
                self.on_removed(batch.removed)
            # After a batch, so that however little time there is, it comes forward.
            if self.deadline is not None and time.monotonic() >= self.deadline:
                break
        return keys

    def in_thread(self, keys: KeyRange) -> KeyRange | None:
        """Like `over`, with this thread's own database connection."""
        try:
            return self.over(keys)
        except BaseException:
            self.stop.set()  # the others need not go on
            raise
        finally:
            connection.close()

    def _remove(self, keys: KeyRange, size: int) -> Batch:
        for attempt in range(1, _TRIES + 1):
            try:
                return self.batches.remove(keys, size=size)
            except OperationalError as error:
                if attempt == _TRIES or getattr(error.__cause__, "sqlstate", None) not in _PASSING:
                    raise
                self.stop.wait(0.1 * attempt)
        raise AssertionError("unreachable")


def start_cleanup(
    *,
    source: CleanupRun.Source,
    started_by: str,
    matched: int,
    criteria: dict[str, Any],
    user: User | None = None,
) -> CleanupRun:
    """Record the start of a cleanup; also marks runs that died, and purges old archives."""
    CleanupRun.objects.mark_dead_as_interrupted()
    by_process = source == CleanupRun.Source.COMMAND
    purge_expired(
        timedelta(days=settings.CLEANUP_ARCHIVE_DAYS),
        at_most=None if by_process else PURGED_PER_REQUEST,
    )
    run = CleanupRun.objects.create(
        source=source,
        started_by=started_by,
        user=user,
        host=socket.gethostname() if by_process else "",
        pid=os.getpid() if by_process else None,
        criteria=criteria,
        matched=matched,
        heartbeat_at=Now(),
    )
    run.refresh_from_db()
    return run


def run_cleanup(
    run: CleanupRun,
    sessions: SessionQuerySet,
    criteria: Criteria,
    *,
    stop: threading.Event | None = None,
    on_removed: Callable[[int], None] = lambda count: None,
) -> None:
    """Remove what is removable among `sessions`, and record how it ended.

    `stop` ends it after the current batch; `on_removed` is told each batch's count, after
    its commit, one call at a time. Raises DatabaseError when the database fails; what was
    committed until then is recorded and can be restored.
    """
    walk = _Walk(
        batches=_batches(run, sessions, criteria.window),
        criteria=criteria,
        stop=stop or threading.Event(),
        on_removed=on_removed,
        deadline=criteria.max_seconds and time.monotonic() + criteria.max_seconds,
    )
    try:
        with heartbeat(run):
            ranges = _disjoint_ranges(sessions.phantom_like(criteria.window), criteria)
            if len(ranges) == 1:
                rests = [walk.over(ranges[0])]
            else:
                with ThreadPoolExecutor(max_workers=len(ranges)) as pool:
                    rests = list(pool.map(walk.in_thread, ranges))
    except BaseException as error:
        _record_failure(run, error)
        raise
    finished = all(rest is None for rest in rests)
    run.finish(CleanupRun.Status.DONE if finished else CleanupRun.Status.PARTIAL)


def continue_cleanup(run: CleanupRun, sessions: SessionQuerySet, *, seconds: float) -> None:
    """Go on with a run for about `seconds`; it has ended when its status says so.

    At least one batch is removed by each call, so that every call brings it forward.
    """
    walk = _Walk(
        batches=_batches(run, sessions, EVER),
        criteria=Criteria(),
        stop=threading.Event(),
        on_removed=lambda count: None,
        deadline=time.monotonic() + seconds,
    )
    try:
        rest = walk.over(KeyRange(after=run.cursor))
    except BaseException as error:
        _record_failure(run, error)
        raise
    if rest is None:
        run.finish(CleanupRun.Status.DONE)
    else:
        run.pause_at(rest.after)


def _batches(run: CleanupRun, sessions: SessionQuerySet, window: Window) -> Batches:
    archive = settings.CLEANUP_ARCHIVE_DAYS > 0
    return batches_for(run, sessions.removable(window), archive=archive)


def _disjoint_ranges(phantom_like: SessionQuerySet, criteria: Criteria) -> list[KeyRange]:
    """What each worker walks over.

    SQLite has room for one writer only, and a limit is one worker's to keep.
    """
    workers = criteria.workers
    if workers == 1 or connection.vendor == "sqlite" or criteria.limit is not None:
        return [KeyRange()]
    return equal_shares(phantom_like, workers)


def _record_failure(run: CleanupRun, error: BaseException) -> None:
    status, message = CleanupRun.Status.FAILED, str(error).strip() or type(error).__name__
    if isinstance(error, KeyboardInterrupt):
        status, message = CleanupRun.Status.PARTIAL, "Stopped within a batch."
    # When the database is what failed, the next cleanup finds this run dead.
    with contextlib.suppress(Error):
        run.finish(status, error=message.split("\n")[0])
