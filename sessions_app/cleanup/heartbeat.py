"""The heartbeat of a cleanup that runs in a separate process.

It has its own thread, since a statement of the cleanup may wait for a long time. A row that is
updated every few seconds works behind any connection pooler; a lock held by a connection does
not.
"""

import contextlib
import threading
from collections.abc import Iterator

from django.db import Error, connection

from sessions_app.cleanup.run_querysets import CleanupRunQuerySet
from sessions_app.models import CleanupRun


@contextlib.contextmanager
def heartbeat(run: CleanupRun) -> Iterator[None]:
    """Update the run's heartbeat regularly, in a thread with its own connection."""
    stop = threading.Event()
    # A daemon, so that a process that must exit at once does not wait for the database.
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
                CleanupRun.objects.filter(pk=pk).record_heartbeat()
            except Error:
                # The cleanup itself reports the error; the next heartbeat uses a new connection.
                connection.close()
    finally:
        connection.close()
