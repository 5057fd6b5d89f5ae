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

    def wait(self, seconds: float, at_least: float) -> None:
        started = time.monotonic()
        if not self._can_listen:
            time.sleep(seconds)
            return
        try:
            if self._connection is None:
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
        direct = settings.DATABASE_DIRECT_URL
        connected = (
            psycopg.connect(direct, autocommit=True)
            if direct
            else psycopg.connect(**parameters, autocommit=True)
        )
        connected.execute(f"LISTEN {PROGRESS_CHANNEL}")
        return connected
