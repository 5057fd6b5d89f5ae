"""PostgreSQL's LISTEN: wakes this process when another one has saved progress.

A notification only shortens the wait: without any, as on SQLite or behind a pooler, watchers
look at the rows several times a second.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection

from agents_app.querysets import PROGRESS_CHANNEL

_CONNECT_TIMEOUT = 3  # seconds
# Between two attempts to connect, so that watchers are not kept waiting by each.
_RECONNECT_INTERVAL = 10


@contextmanager
def listen() -> Iterator[Callable[[float, float], None]]:
    """Yields a function that waits so many seconds for a notification, and at least so many.

    The connection is one of its own, past the pooler: a pooler in transaction mode passes no
    notifications on (PgBouncer manual, "SQL feature map for pooling modes").
    """
    listener = _Listener()
    try:
        yield listener.wait
    finally:
        listener.close()


class _Listener:
    def __init__(self) -> None:
        self._connection: psycopg.Connection[Any] | None = None
        self._can_listen = connection.vendor == "postgresql"
        self._connect_at = time.monotonic()

    def wait(self, seconds: float, at_least: float) -> None:
        started = time.monotonic()
        may_connect = self._can_listen and started >= self._connect_at
        if self._connection is None and not may_connect:
            time.sleep(seconds)
            return
        try:
            if self._connection is None:
                self._connect_at = started + _RECONNECT_INTERVAL
                self._connection = self._connect()
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

    @staticmethod
    def _connect() -> "psycopg.Connection[Any]":
        parameters = connection.get_connection_params()
        for name in ("cursor_factory", "context"):
            parameters.pop(name, None)
        if settings.DATABASE_DIRECT_URL:
            parameters = {"conninfo": settings.DATABASE_DIRECT_URL}
        parameters["connect_timeout"] = _CONNECT_TIMEOUT
        connected = psycopg.connect(**parameters, autocommit=True)
        connected.execute(f"LISTEN {PROGRESS_CHANNEL}")
        return connected
