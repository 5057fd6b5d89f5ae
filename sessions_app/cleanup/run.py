"""Cleanups from start to end.

The command runs one to its end (`run_cleanup`); the admin continues one over several requests
(`continue_cleanup`). Both record a CleanupRun, and remove sessions batch by batch
(sessions_app.cleanup.batches).
"""

from __future__ import annotations

import contextlib
import logging
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

from sessions_app.cleanup.batches import Batch, Batches, KeyRange, batches_for, equal_shares
from sessions_app.cleanup.heartbeat import heartbeat
from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.purging import purge_expired
from sessions_app.database_errors import is_retryable, one_line
from sessions_app.models import CleanupRun
from sessions_app.querysets import ANY_TIME, SessionQuerySet, Window

logger = logging.getLogger(__name__)

PURGED_PER_REQUEST = 10_000  # rows of the archive
MAX_ATTEMPTS = 5


@dataclass
class _Cleanup:
    """The state of a cleanup that its workers share."""

    batches: Batches
    limit: int | None
    options: Options
    stop: threading.Event
    on_removed: Callable[[int], None]
    deadline: float | None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remove_range(self, keys: KeyRange) -> KeyRange | None:
        """Remove what can be removed in `keys`; returns the part that remains, or None."""
        limit = self.limit
        while not self.stop.is_set():
            size = self.options.batch_size if limit is None else min(self.options.batch_size, limit)
            if size == 0:
                return None
            batch = self._remove_with_retries(keys, size)
            if batch.last is None:
                return None
            keys = KeyRange(after=batch.last, upto=keys.upto)
            if limit is not None:
                limit -= batch.removed
            with self._lock:
                self.on_removed(batch.removed)
            # After the batch, so that even the shortest time limit makes progress.
            if self.deadline is not None and time.monotonic() >= self.deadline:
                break
        return keys

    def remove_range_in_thread(self, keys: KeyRange) -> KeyRange | None:
        """Like `remove_range`, for a thread with its own database connection."""
        try:
            return self.remove_range(keys)
        except BaseException:
            self.stop.set()  # for the other workers
            raise
        finally:
            connection.close()

    def _remove_with_retries(self, keys: KeyRange, size: int) -> Batch:
        for attempt in range(1, MAX_ATTEMPTS):
            try:
                return self.batches.remove_batch(keys, size=size)
            except OperationalError as error:
                if not is_retryable(error):
                    raise
                self.stop.wait(0.1 * attempt)
        return self.batches.remove_batch(keys, size=size)


def start_cleanup(
    *,
    source: CleanupRun.Source,
    started_by: str,
    matched: int,
    criteria: dict[str, Any],
    user: User | None = None,
) -> CleanupRun:
    """Record the start of a cleanup, after marking runs presumed dead and purging archives."""
    CleanupRun.objects.mark_presumed_dead()
    by_process = source != CleanupRun.Source.ADMIN
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
    logger.debug("%s started by %s (%s): %d sessions match", run, started_by, source, matched)
    return run


def run_cleanup(
    run: CleanupRun,
    sessions: SessionQuerySet,
    target: Target,
    options: Options,
    *,
    stop: threading.Event | None = None,
    on_removed: Callable[[int], None] = lambda count: None,
) -> None:
    """Remove what is removable among `sessions`, and record how the cleanup ended.

    `stop` ends it after the current batch. `on_removed` is called after each batch's commit
    with the number of sessions removed, by one worker at a time.

    Raises DatabaseError when the database fails; what was committed before that is recorded
    and can be restored.
    """
    stop = stop or threading.Event()
    cleanup = _Cleanup(
        batches=_batches(run, sessions, target.window),
        limit=target.limit,
        options=options,
        stop=stop,
        on_removed=on_removed,
        deadline=None if options.max_seconds is None else time.monotonic() + options.max_seconds,
    )
    try:
        with heartbeat(run):
            ranges = _ranges(sessions, target, options.workers)
            if len(ranges) == 1:
                remaining = [cleanup.remove_range(ranges[0])]
            else:
                with ThreadPoolExecutor(max_workers=len(ranges)) as pool:
                    remaining = list(pool.map(cleanup.remove_range_in_thread, ranges))
    except BaseException as error:
        _record_failure(run, error)
        raise
    complete = all(keys is None for keys in remaining)
    finish_cleanup(
        run,
        CleanupRun.Status.DONE if complete else CleanupRun.Status.PARTIAL,
        # The command prints one line on stderr when it is stopped; this must not add another.
        level=logging.DEBUG if stop.is_set() else logging.INFO,
    )


def continue_cleanup(run: CleanupRun, sessions: SessionQuerySet, *, seconds: float) -> None:
    """Continue a run for about `seconds`; afterwards its status says whether it has ended.

    Each call removes at least one batch, so that the run makes progress. Raises DatabaseError
    as `run_cleanup` does.
    """
    cleanup = _Cleanup(
        batches=_batches(run, sessions, ANY_TIME),
        limit=None,
        options=Options(),
        stop=threading.Event(),
        on_removed=lambda count: None,
        deadline=time.monotonic() + seconds,
    )
    try:
        remaining = cleanup.remove_range(KeyRange(after=run.cursor))
    except BaseException as error:
        _record_failure(run, error)
        raise
    if remaining is None:
        finish_cleanup(run, CleanupRun.Status.DONE)
    else:
        run.pause_at(remaining.after)


def finish_cleanup(
    run: CleanupRun, status: CleanupRun.Status, *, level: int = logging.INFO
) -> None:
    """Record and log that a run has ended without an error."""
    run.finish(status)
    logger.log(
        level,
        "%s %s: removed %d of %d sessions in %.1f s (started by %s, %s)",
        *(run, run.status, run.removed, run.matched, run.duration.total_seconds()),
        *(run.started_by, run.source),
    )


def _batches(run: CleanupRun, sessions: SessionQuerySet, window: Window) -> Batches:
    archive = settings.CLEANUP_ARCHIVE_DAYS > 0
    return batches_for(run, sessions.removable(window), archive=archive)


def _ranges(sessions: SessionQuerySet, target: Target, workers: int) -> list[KeyRange]:
    """The disjoint key ranges of the workers.

    A single range on SQLite, which allows one writer at a time, and with a limit, which only one
    worker can keep.
    """
    if workers == 1 or connection.vendor == "sqlite" or target.limit is not None:
        return [KeyRange()]
    return equal_shares(sessions.removal_candidates(target.window), workers)


def _record_failure(run: CleanupRun, error: BaseException) -> None:
    status, message = CleanupRun.Status.FAILED, one_line(error)
    if isinstance(error, KeyboardInterrupt):
        status, message = CleanupRun.Status.PARTIAL, "Stopped within a batch."
    # If the database itself is down, the next cleanup marks this run as interrupted.
    with contextlib.suppress(Error):
        run.finish(status, error=message)
