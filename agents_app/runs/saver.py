"""Saves the texts of this process's runs, in one thread with its own connection.

A few times a second, one statement saves all texts that have grown, however many runs there are,
and another finds the runs that another process has ended or taken over. The first words of a run
are saved in between, without the texts of the others. Watchers in other processes are woken when
texts are saved, and when a run ends before any of its text was.
"""

import logging
import threading
import time
from typing import Protocol
from uuid import UUID

from django.db import Error, connection

from agents_app.models import AgentRun, RunFacts
from agents_app.querysets import Progress
from agents_app.runs import metrics
from agents_app.runs.db_threads import check_connection, own_connection, release_cursors
from agents_app.runs.listen import notify
from sessions_app.database_errors import one_line

logger = logging.getLogger(__name__)

SAVE_INTERVAL = 0.25  # seconds
# Saving takes at most this share of the time, unless the interval would exceed a second.
_LARGEST_SHARE = 0.1
_LONGEST_INTERVAL = 1.0
# The first words of a run are saved sooner, for watchers in other processes.
_SOONEST = 0.03
_STOP_TIMEOUT = 5


class Worker(Protocol):
    """Works on a run in this process."""

    run_id: UUID
    attempt: int
    has_started: bool
    facts: RunFacts

    @property
    def text(self) -> str:
        """The text generated so far."""

    def on_ended_elsewhere(self, status: str | None) -> None:
        """Called in the saver's thread: the run has this status; None: it was deleted or lost."""


def add(worker: Worker) -> None:
    """Save the text of the worker's run until it is removed."""
    global _thread
    with _lock:
        _workers[worker.run_id] = worker
        if _thread is None or not _thread.is_alive():
            _thread = _SaverThread()
            _thread.start()


def remove(worker: Worker) -> None:
    """Called when the end of the run is recorded."""
    if _workers.get(worker.run_id) is worker:
        del _workers[worker.run_id]
    thread = _thread
    if thread is not None:
        thread.on_removed(worker)


def save_soon() -> None:
    """Called when the first words of a run have come."""
    thread = _thread
    if thread is not None:
        thread.wanted.set()


def stop() -> None:
    """Stop the thread, waiting a few seconds for it: the database may block it."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.stopping = True
        thread.wanted.set()
        thread.join(_STOP_TIMEOUT)


def _progress_of(worker: Worker) -> Progress:
    return Progress(worker.run_id, worker.attempt, worker.text, worker.facts.started_at)


_workers: dict[UUID, Worker] = {}
_thread: "_SaverThread | None" = None
_lock = threading.Lock()


class _SaverThread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="saver", daemon=True)
        self.stopping = False
        self.wanted = threading.Event()
        self._saved: dict[UUID, int] = {}  # characters saved of each run's text
        self._all_due_at = 0.0
        self._used_at = self._saved_at = time.monotonic()
        self._is_unavailable = False
        self._must_notify = False

    def on_removed(self, worker: Worker) -> None:
        """Called in any thread. Wakes watchers if they have not been told of a quick run's text."""
        if not self._saved.get(worker.run_id):
            self._must_notify = True
            self.wanted.set()

    def run(self) -> None:
        with own_connection():
            while not self.stopping:
                started = time.monotonic()
                try:
                    if started >= self._all_due_at:
                        self._save_all()
                    else:
                        self._save_first_words()
                    self._notify()
                except Error as error:
                    release_cursors(error)
                    if not self._is_unavailable:
                        self._is_unavailable = True
                        logger.warning("Runs cannot be saved; retrying: %s", one_line(error))
                except Exception:
                    # Without this thread, nothing is saved before it is complete.
                    logger.exception("Saving the runs failed unexpectedly")
                self._pause(started)

    def _pause(self, started: float) -> None:
        now = time.monotonic()
        pause = min((now - started) / _LARGEST_SHARE, _LONGEST_INTERVAL)
        if started >= self._all_due_at:
            self._all_due_at = started + max(SAVE_INTERVAL, pause)
        if self.wanted.wait(max(0.0, self._all_due_at - now)):
            self.wanted.clear()
            time.sleep(max(0.0, started + max(_SOONEST, pause) - time.monotonic()))

    def _save_all(self) -> None:
        workers = dict(_workers)
        if not workers:
            self._saved.clear()
            self._saved_at = time.monotonic()
            metrics.observe_save_lag(0)
            return
        self._saved = {pk: length for pk, length in self._saved.items() if pk in workers}
        # The first save, perhaps of no text yet, records that the run has started.
        started = (_progress_of(worker) for worker in workers.values() if worker.has_started)
        saved = self._save([one for one in started if len(one.text) != self._saved.get(one.run_id)])
        if saved:
            metrics.observe_save_lag(time.monotonic() - self._saved_at)
        self._saved_at = time.monotonic()
        self._find_ended([workers[pk] for pk in workers.keys() - saved])
        self._is_unavailable = False

    def _save_first_words(self) -> None:
        new = [worker for pk, worker in dict(_workers).items() if not self._saved.get(pk)]
        self._save([one for one in map(_progress_of, new) if one.text])

    def _notify(self) -> None:
        if self._must_notify:
            self._must_notify = False
            self._check_connection()
            notify()

    def _save(self, progress: list[Progress]) -> set[UUID]:
        self._check_connection()
        saved = AgentRun.objects.save_progress(progress) if progress else set()
        self._saved |= {one.run_id: len(one.text) for one in progress if one.run_id in saved}
        return saved

    def _check_connection(self) -> None:
        check_connection(connection, self._used_at)
        self._used_at = time.monotonic()

    def _find_ended(self, workers: list[Worker]) -> None:
        if not workers:
            return
        runs = AgentRun.objects.filter(pk__in=[worker.run_id for worker in workers])
        states = {
            pk: (status, attempt)
            for pk, status, attempt in runs.values_list("pk", "status", "attempt")
        }
        for worker in workers:
            status, attempt = states.get(worker.run_id, (None, worker.attempt))
            if attempt != worker.attempt:
                worker.on_ended_elsewhere(None)
            elif status not in AgentRun.ACTIVE:
                worker.on_ended_elsewhere(status)
