"""Signs of life: one thread per process, with a connection of its own, for all of its runs.

Several times a second it saves what has come of them and learns which were ended elsewhere.
Every second it gives their heartbeat, and marks the runs of processes that have died; nothing
else does.

A process is presumed dead when its heartbeat is too old. The heartbeats of living ones are
just as old after the database was away, or a long write has locked it. So nobody is presumed
dead by a process that has not itself been able to write for as long as that takes.
"""

import logging
import threading
import time
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.db import Error, connection, transaction

from agents_app.database import close_idle, own_connection, release_cursors
from agents_app.models import AgentRun

logger = logging.getLogger(__name__)

# How often what has come is saved, and a Stop pressed in another process is noticed.
SAVE_SECONDS = 0.25
_HEARTBEAT_SECONDS = 1.0
_STOP_SECONDS = 5


class Worker(Protocol):
    """Somebody in this process who works on a run."""

    run_id: UUID

    @property
    def text(self) -> str:
        """What has come so far."""

    def ended_elsewhere(self, status: str | None) -> None:
        """Called in the thread of liveness: the run has this status, or is gone."""


def start() -> None:
    """Give signs of life, and look for processes that have died; once per process."""
    global _thread
    with _lock:
        if _thread is None:
            _thread = _Thread()
            _thread.start()


def stop() -> None:
    """Return when the thread has ended, unless the database keeps it waiting."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.end.set()
        thread.join(_STOP_SECONDS)
    close_idle(idle_seconds=0)


def add(worker: Worker) -> None:
    """Give signs of life for a worker's run, and save its text, until it is removed."""
    _workers[worker.run_id] = worker
    start()


def remove(worker: Worker) -> None:
    """The run's end is recorded."""
    _workers.pop(worker.run_id, None)


_workers: dict[UUID, Worker] = {}
_thread: "_Thread | None" = None
_lock = threading.Lock()


class _Thread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="liveness", daemon=True)
        self.end = threading.Event()
        self._saved: dict[UUID, int] = {}  # how many characters of each run's text
        self._heartbeat_at = self._wrote_at = float("-inf")
        self._steady_since: float | None = None
        self._is_away = False

    def run(self) -> None:
        with own_connection():
            while not self.end.wait(SAVE_SECONDS):
                try:
                    self._round()
                except Error as error:
                    release_cursors(error)
                    self._failed(error)
                except Exception:
                    # Whatever it is: without this thread, every run would be presumed dead.
                    logger.exception("Signs of life failed in a way nobody thought of")

    def _round(self) -> None:
        connection.close_if_unusable_or_obsolete()
        workers = dict(_workers)
        is_due = time.monotonic() - self._heartbeat_at >= _HEARTBEAT_SECONDS
        self._save(workers, all_of_them=is_due)
        if is_due:
            self._look_for_the_dead()
            close_idle()
            self._heartbeat_at = time.monotonic()

    def _save(self, workers: dict[UUID, Worker], *, all_of_them: bool) -> None:
        texts = {run_id: worker.text for run_id, worker in workers.items()}
        grown = {pk: text for pk, text in texts.items() if len(text) != self._saved.get(pk)}
        run_ids = workers.keys() if all_of_them else grown.keys()
        saved = AgentRun.objects.keep_alive(run_ids, grown) if run_ids else set()
        lengths = self._saved | {pk: len(texts[pk]) for pk in saved}
        self._saved = {pk: length for pk, length in lengths.items() if pk in workers}
        if others := workers.keys() - saved:
            for run_id, status in AgentRun.objects.ended(others).items():
                workers[run_id].ended_elsewhere(status)

    def _look_for_the_dead(self) -> None:
        timeout = settings.AGENT_HEARTBEAT_TIMEOUT
        with transaction.atomic():  # on SQLite it waits here for whoever writes
            others = AgentRun.objects.exclude(pk__in=_workers.keys())
            somebody_is_silent = others.silent().exists()
            # Now that the database has answered: it may have been frozen, or this process.
            now = time.monotonic()
            if self._steady_since is None or now - self._wrote_at > timeout / 2:
                self._steady_since = now
            self._wrote_at = now
            is_steady = now - self._steady_since >= timeout
            if somebody_is_silent and is_steady and (count := others.mark_presumed_dead()):
                logger.warning("The process of %s answers has died", count)
        if self._is_away:
            self._is_away = False
            logger.info("The database is back")

    def _failed(self, error: Error) -> None:
        self._steady_since = None
        if not self._is_away:
            self._is_away = True
            logger.warning("The database cannot be written to; trying again: %s", error)
