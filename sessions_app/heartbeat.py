"""Signs of life of a cleanup that runs in a process of its own.

A cleanup may wait long within one statement, so they are given beside it. A row that is
written every few seconds works behind every pooler; a lock that a connection holds does not.
"""

import contextlib
import threading
from collections.abc import Iterator

from django.db import Error, connection

from sessions_app.models import CleanupRun
from sessions_app.querysets import CleanupRunQuerySet


@contextlib.contextmanager
def heartbeat(run: CleanupRun) -> Iterator[None]:
    """Within it, a thread with a connection of its own says again and again that `run` lives."""
    stop = threading.Event()
    # A daemon, so that a process that has to end at once does not wait for the database.
    thread = threading.Thread(target=_beat, args=(run.pk, stop), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _beat(pk: int, stop: threading.Event) -> None:
    try:
        while not stop.wait(CleanupRunQuerySet.HEARTBEAT_INTERVAL.total_seconds()):
            try:
                CleanupRun.objects.filter(pk=pk).beat()
            except Error:
                # The cleanup itself says what is wrong; the next beat tries a new connection.
                connection.close()
    finally:
        connection.close()
