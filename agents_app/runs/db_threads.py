"""Runs the database work of asynchronous code in a few threads with separate connections.

Runs do not share the connections of requests: neither slow requests nor a pool that waits for
an unavailable database may keep an answer from being stored.
"""

import asyncio
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sessions_app.database_errors import is_too_complex

P = ParamSpec("P")
T = TypeVar("T")

# Raised while the database is unreachable, restarting or locked.
UNAVAILABLE_ERRORS = (OperationalError, InterfaceError)
# How long, and how often, work is retried while the database is unavailable.
RETRY_TIMEOUT = 300  # seconds
RETRY_INTERVAL = 0.5

_THREADS = 4
_IDLE_SECONDS = 60
_FRESH_SECONDS = 10
_threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="database")
_idle: list[tuple[float, BaseDatabaseWrapper]] = []
_idle_lock = threading.Lock()


async def run_in_db_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread that has a connection for as long as it runs.

    A stream must not hold a connection while it waits for the next token: ten open streams
    would hold ten connections.
    """

    def work_on_own_connection() -> T:
        with own_connection():
            return work(*args, **kwargs)

    # A plain executor is enough: sync_to_async would add thread sensitivity and the caller's
    # context.
    return await asyncio.get_running_loop().run_in_executor(_threads, work_on_own_connection)


async def run_in_db_thread_with_retries(
    work: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """As `run_in_db_thread`, with retries while the database is unavailable.

    Holds neither a thread nor a connection between two attempts. `work` must be idempotent:
    an earlier attempt may have been committed although its connection broke.

    Raises the last attempt's error after RETRY_TIMEOUT.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + RETRY_TIMEOUT
    while True:
        try:
            return await run_in_db_thread(work, *args, **kwargs)
        except UNAVAILABLE_ERRORS:
            if loop.time() >= give_up_at:
                raise
        await asyncio.sleep(RETRY_INTERVAL)


async def store_in_db_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `run_in_db_thread_with_retries`, without giving up, for what would otherwise be lost.

    Raises only errors that another attempt would not avoid.
    """
    while True:
        try:
            return await run_in_db_thread(work, *args, **kwargs)
        except UNAVAILABLE_ERRORS as error:
            if is_too_complex(error):
                raise
        await asyncio.sleep(RETRY_INTERVAL)


@contextmanager
def own_connection() -> Iterator[None]:
    """Within it, this thread uses one of the runs' connections."""
    connection = _take()
    connections[DEFAULT_DB_ALIAS] = connection
    try:
        yield
    except Error as error:
        release_cursors(error)
        raise
    finally:
        del connections[DEFAULT_DB_ALIAS]
        with _idle_lock:
            _idle.append((time.monotonic(), connection))


def release_cursors(error: BaseException) -> None:
    """Release the cursors that the frames of a database error refer to.

    Django's errors and their frames form reference cycles, so that the garbage collector
    closes the cursors, in any thread. With SQLite that blocks the whole process for as long
    as another thread waits for a lock on the cursor's connection.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def close_idle(*, idle_seconds: float = _IDLE_SECONDS) -> None:
    """Close the connections that have been idle for so long."""
    used_since = time.monotonic() - idle_seconds
    with _idle_lock:
        old = [connection for used_at, connection in _idle if used_at <= used_since]
        _idle[:] = [entry for entry in _idle if entry[0] > used_since]
    for connection in old:
        connection.close()


def check_connection(connection: BaseDatabaseWrapper, used_at: float) -> None:
    """Replace a connection if it is likely to be broken, and is.

    Checking each time would cost as many statements as the work itself. A connection that breaks
    within a few seconds fails in its next statement, which is retried.
    """
    if connection.errors_occurred or time.monotonic() - used_at > _FRESH_SECONDS:
        connection.close_if_unusable_or_obsolete()


def _take() -> BaseDatabaseWrapper:
    with _idle_lock:
        used_at, connection = _idle.pop() if _idle else (time.monotonic(), _new())
    check_connection(connection, used_at)
    return connection


def _new() -> BaseDatabaseWrapper:
    """A connection to the default database, outside the pool and with short timeouts.

    Its users retry instead of waiting in a thread.
    """
    connection: BaseDatabaseWrapper = connections.create_connection(DEFAULT_DB_ALIAS).copy()
    connection.inc_thread_sharing()  # threads use it one after the other
    settings = connection.settings_dict
    settings["CONN_MAX_AGE"] = None
    settings["CONN_HEALTH_CHECKS"] = True
    options = settings["OPTIONS"]
    if connection.vendor == "postgresql":
        options.pop("pool", None)
        options.setdefault("connect_timeout", 3)
    else:
        options["timeout"] = 0.25
    return connection
