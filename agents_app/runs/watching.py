"""Follows a run of any process: its text as it grows, until it has ended.

The run does not depend on its watchers, which come and go. Those of a run of this process are fed
by its worker. For runs of other processes, one thread reads the rows of all that are watched
here, in one query, when it is woken by a notification and otherwise a few times a second.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, closing, suppress
from uuid import UUID

from asgiref.sync import async_to_sync
from django.db import Error, connection, connections
from django.db.models import Prefetch

from agents_app.models import AgentRun, RunStatus
from agents_app.runs import db_threads
from agents_app.runs.db_threads import own_connection, release_cursors
from agents_app.runs.listen import Listener
from agents_app.runs.local_broadcast import Broadcast, Outcome, Piece, get_broadcast
from sessions_app.database_errors import one_line
from sessions_app.models import Message

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.25  # seconds
# However many processes notify, rows are not read more often than this, and reading them takes at
# most this share of the time, up to a second.
_SHORTEST_WAIT = 0.02
_LONGEST_WAIT = 1.0
_LARGEST_SHARE = 0.1
# How long the end of a stopped run is held back until its process has stored what it generated.
_STORED_WITHIN = 2.0
_STOP_TIMEOUT = 5


def follow(run_id: UUID, *, quiet_seconds: float) -> AsyncGenerator[Piece]:
    """The text of a run from the start, piece by piece, until it has ended.

    See Broadcast.follow. Following it again yields everything so far first.
    """
    # Looked up now, not at the first piece: by then a quick run may be over.
    broadcast = get_broadcast(run_id)
    if broadcast is None:
        return _follow_elsewhere(run_id, quiet_seconds)
    return broadcast.follow(quiet_seconds=quiet_seconds)


async def wait(run_id: UUID, seconds: float) -> None:
    """Return when the run has ended, at the latest after so many seconds."""
    pieces = follow(run_id, quiet_seconds=seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), aclosing(pieces):
            async for _ in pieces:
                pass


def wait_in_thread(run_id: UUID, seconds: float) -> None:
    """Like wait(), for synchronous code. The thread holds no database connection while waiting."""
    connections.close_all()
    async_to_sync(wait)(run_id, seconds)


def load_run(run_id: UUID) -> AgentRun | None:
    """The run with its agent and its message, or None when it was deleted. Synchronous."""
    return AgentRun.objects.select_related("agent", "message").filter(pk=run_id).first()


def stop() -> None:
    """Stop following runs of other processes: this process is about to exit."""
    with _lock:
        thread = _reader.thread
        _reader.stopping.set()
        for remote in _reader.runs.values():
            remote.end()
    if thread is not None:
        thread.join(_STOP_TIMEOUT)


async def _follow_elsewhere(run_id: UUID, quiet_seconds: float) -> AsyncGenerator[Piece]:
    remote = _reader.watch(run_id)
    try:
        async with aclosing(remote.broadcast.follow(quiet_seconds=quiet_seconds)) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        _reader.unwatch(run_id)


class _RemoteRun:
    """The broadcast of another process's run, and what its row said last."""

    def __init__(self) -> None:
        self.broadcast = Broadcast()
        self.watchers = 0
        self.attempt = 0
        self.length = 0
        self.has_ended = False
        self._pending_since: float | None = None
        self._stopped_since: float | None = None

    def update(
        self,
        status: str | None,
        attempt: int,
        text: str,
        outcome: Outcome | None = None,
        *,
        is_held: bool = False,
    ) -> None:
        """`is_held`: a process has started the run, and has not released it."""
        if status == RunStatus.STOPPED and is_held and self._may_still_be_stored():
            return
        if status not in AgentRun.ACTIVE and not text:  # it is in a message now
            self.end(outcome)
            return
        if attempt != self.attempt or len(text) < self.length:
            if self.length:
                self.broadcast.restart()
            self.attempt, self.length = attempt, 0
        if len(text) > self.length:
            self.broadcast.publish(text[self.length :])
            self.length = len(text)
        self._note_waiting(is_pending=status == RunStatus.PENDING)
        if status not in AgentRun.ACTIVE:
            self.end()

    def end(self, outcome: Outcome | None = None) -> None:
        self.has_ended = True
        self.broadcast.end(outcome)

    def _may_still_be_stored(self) -> bool:
        now = time.monotonic()
        if self._stopped_since is None:
            self._stopped_since = now
        return now - self._stopped_since < _STORED_WITHIN

    def _note_waiting(self, *, is_pending: bool) -> None:
        now = time.monotonic()
        if not is_pending:
            self._pending_since = None
        elif self._pending_since is None:
            self._pending_since = now
        since = now if self._pending_since is None else self._pending_since
        self.broadcast.set_waiting(now - since >= AgentRun.STARTED_WITHIN)


_lock = threading.Lock()


class _RemoteReader:
    """Reads the rows of all watched runs of other processes, while there are any."""

    def __init__(self) -> None:
        self.runs: dict[UUID, _RemoteRun] = {}
        self.thread: threading.Thread | None = None
        self.stopping = threading.Event()
        self._failing_since: float | None = None
        self._used_at = time.monotonic()

    def watch(self, run_id: UUID) -> _RemoteRun:
        with _lock:
            remote = self.runs.setdefault(run_id, _RemoteRun())
            remote.watchers += 1
            if self.stopping.is_set():
                remote.end()
            elif self.thread is None:
                self.thread = threading.Thread(target=self._run, name="reader", daemon=True)
                self.thread.start()
        return remote

    def unwatch(self, run_id: UUID) -> None:
        with _lock:
            remote = self.runs[run_id]
            remote.watchers -= 1
            if not remote.watchers:
                del self.runs[run_id]

    def _run(self) -> None:
        with own_connection(), closing(Listener()) as listener:
            while True:
                with _lock:
                    runs = {pk: one for pk, one in self.runs.items() if not one.has_ended}
                    if self.stopping.is_set() or not runs:
                        self.thread = None
                        return
                started = time.monotonic()
                try:
                    self._read(runs)
                    self._failing_since = None
                except Error as error:
                    release_cursors(error)
                    self._on_error(error, runs)
                except Exception:
                    logger.exception("Reading the runs failed unexpectedly")
                pause = (time.monotonic() - started) / _LARGEST_SHARE
                at_least = min(max(pause, _SHORTEST_WAIT), _LONGEST_WAIT)
                listener.wait(max(POLL_INTERVAL, at_least), at_least)

    def _on_error(self, error: Error, runs: dict[UUID, _RemoteRun]) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            logger.warning("Runs cannot be read; retrying: %s", one_line(error))
        if now - self._failing_since >= db_threads.RETRY_TIMEOUT:
            for remote in runs.values():
                remote.end()

    def _read(self, runs: dict[UUID, _RemoteRun]) -> None:
        db_threads.check_connection(connection, self._used_at)
        self._used_at = time.monotonic()
        rows = AgentRun.objects.filter(pk__in=runs).values_list(
            "pk", "status", "attempt", "text", "process_id", "started_at"
        )
        states = {
            pk: (status, attempt, text, bool(process_id and started_at))
            for pk, status, attempt, text, process_id, started_at in rows
        }
        done = [pk for pk, (status, *_) in states.items() if status == RunStatus.DONE]
        outcomes = _read_outcomes(done)
        for run_id, remote in runs.items():
            status, attempt, text, is_held = states.get(run_id, (None, remote.attempt, "", False))
            remote.update(status, attempt, text, outcomes.get(run_id), is_held=is_held)


def _read_outcomes(run_ids: list[UUID]) -> dict[UUID, Outcome]:
    """How answered runs ended, without those whose messages are gone. Two queries at most."""
    if not run_ids:
        return {}
    answers = Message.objects.select_related("agent").order_by("position")
    answers = answers.defer("raw_payload", "context", "channel_payload", "extra")
    runs = AgentRun.objects.filter(pk__in=run_ids).select_related("agent", "message")
    found = runs.prefetch_related(Prefetch("answer", answers))
    return {run.pk: Outcome(run, rows) for run in found if (rows := list(run.answer.all()))}


_reader = _RemoteReader()
