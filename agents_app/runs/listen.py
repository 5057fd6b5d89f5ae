"""PostgreSQL's LISTEN and NOTIFY: wake a process when another one has saved progress.

A notification only shortens the wait: without any, as on SQLite or behind a pooler, watchers
read the rows several times a second.
"""

import time
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from agents_app.querysets import PROGRESS_CHANNEL

_CONNECT_TIMEOUT = 3  # seconds
# Between two attempts to connect, each of which keeps the watchers waiting.
_RECONNECT_INTERVAL = 10


def notify() -> None:
    """Wake the processes that watch runs, as saving progress does."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [PROGRESS_CHANNEL])


class Listener:
    """Waits for notifications on its own connection, which bypasses the pooler.

    A pooler in transaction mode passes no notifications on (PgBouncer manual, "SQL feature map for
    pooling modes").
    """

    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        self._can_listen = connection.vendor == "postgresql"
        self._connect_at = time.monotonic()

    def wait(self, seconds: float, at_least: float) -> None:
        """Wait for a notification, at most `seconds`; return no earlier than after `at_least`."""
        started = time.monotonic()
        try:
            if self._connection is None and self._can_listen and started >= self._connect_at:
                self._connect_at = started + _RECONNECT_INTERVAL
                self._connection = self._connect()
            if self._connection is None:
                time.sleep(seconds)
                return
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        except psycopg.Error:
            self.close()
            time.sleep(seconds)
        time.sleep(max(0.0, started + at_least - time.monotonic()))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> "psycopg.Connection[Any] | None":
        parameters = connection.get_connection_params()
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        if settings.DATABASE_DIRECT_URL:
            parameters = {"conninfo": settings.DATABASE_DIRECT_URL}
        parameters["connect_timeout"] = _CONNECT_TIMEOUT
        connected = psycopg.connect(**parameters, autocommit=True)
        pid = connected.execute("SELECT pg_backend_pid()").fetchone()
        if pid != (connected.info.backend_pid,):
            # A pooler, which has made up the other id. It would pass the notifications on to
            # whoever uses the server connection next, where psycopg keeps them for ever.
            self._can_listen = False
            connected.close()
            return None
        connected.execute(f"LISTEN {PROGRESS_CHANNEL}")
        return connected
