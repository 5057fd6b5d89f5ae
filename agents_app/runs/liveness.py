"""This process's heartbeat, and what becomes of the runs of processes that are presumed dead.

Every second, a thread with its own connection renews the heartbeat, and marks the runs of
processes that are presumed dead as interrupted or, where there are workers, requeues them. It
alone does this: reading a run never does.

A process is presumed dead when its heartbeat is too old. After the database was unavailable,
or locked by a long write, the heartbeats of living processes are just as old. So a process
presumes others dead only when it has itself been able to write for as long as the timeout.
"""

import logging
import os
import socket
import threading
import time
import uuid

from django.conf import settings
from django.db import Error, connection, transaction
from django.db.models.functions import Now

from agents_app.models import AgentRun, WorkerProcess
from agents_app.runs import metrics
from agents_app.runs.db_threads import (
    check_connection,
    close_idle,
    own_connection,
    release_cursors,
)
from sessions_app.database_errors import one_line

logger = logging.getLogger(__name__)

_HEARTBEAT_INTERVAL = 1.0  # seconds
_STOP_TIMEOUT = 5

# By pid: a fork is another process.
_process_ids: dict[int, uuid.UUID] = {}


def process_id() -> uuid.UUID:
    """The id under which this process takes on runs."""
    return _process_ids.setdefault(os.getpid(), uuid.uuid4())


def start() -> None:
    """Start the thread, once per process."""
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = _LivenessThread()
            _thread.start()


def stop() -> None:
    """Stop the thread, waiting a few seconds for it: the database may block it."""
    global _thread
    with _lock:
        thread, _thread = _thread, None
    if thread is not None:
        thread.stopping.set()
        thread.join(_STOP_TIMEOUT)
    close_idle(idle_seconds=0)


_thread: "_LivenessThread | None" = None
_lock = threading.Lock()


class _LivenessThread(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="liveness", daemon=True)
        self.stopping = threading.Event()
        self._wrote_at = float("-inf")
        self._steady_since: float | None = None
        self._is_unavailable = False

    def run(self) -> None:
        with own_connection():
            while not self.stopping.wait(_HEARTBEAT_INTERVAL):
                try:
                    self._tick()
                except Error as error:
                    release_cursors(error)
                    self._on_error(error)
                except Exception:
                    # Without this thread, all runs of the process would be presumed dead.
                    logger.exception("The heartbeat failed unexpectedly")
            self._delete_own_row()

    def _tick(self) -> None:
        check_connection(connection, self._wrote_at)
        with transaction.atomic():  # on SQLite it waits here for other writers
            self._renew_heartbeat()
            self._handle_presumed_dead()
        if settings.ANSWERS_IN == "workers":
            from agents_app.runs import queue

            queue.fill_free_slots()
        close_idle()
        if self._is_unavailable:
            self._is_unavailable = False
            logger.info("The database is available again")

    def _renew_heartbeat(self) -> None:
        own = WorkerProcess.objects.filter(pk=process_id())
        if not own.update(heartbeat_at=Now(), save_lag=metrics.save_lag()):
            WorkerProcess.objects.stale().delete()
            WorkerProcess.objects.create(
                pk=process_id(), host=socket.gethostname(), pid=os.getpid(), heartbeat_at=Now()
            )

    def _handle_presumed_dead(self) -> None:
        timeout = settings.AGENT_HEARTBEAT_TIMEOUT
        others = AgentRun.objects.exclude(process_id=process_id())
        any_presumed_dead = others.presumed_dead().exists()
        # Taken after the query: the database, or this process, may have been frozen.
        now = time.monotonic()
        if self._steady_since is None or now - self._wrote_at > timeout / 2:
            self._steady_since = now
        self._wrote_at = now
        if now - self._steady_since < timeout:
            return
        if settings.ANSWERS_IN == "workers":
            from agents_app.runs import queue

            if count := queue.requeue_presumed_dead():
                logger.warning("Requeued %s runs whose processes are presumed dead", count)
            others = queue.without_job(others)
        if any_presumed_dead and (count := others.interrupt_presumed_dead()):
            logger.warning("Interrupted %s runs whose processes are presumed dead", count)

    def _delete_own_row(self) -> None:
        try:
            WorkerProcess.objects.filter(pk=process_id()).delete()
        except Error as error:
            release_cursors(error)  # its heartbeat will expire

    def _on_error(self, error: Error) -> None:
        self._steady_since = None
        if not self._is_unavailable:
            self._is_unavailable = True
            logger.warning("The database is unavailable; retrying: %s", one_line(error))
