"""The database, from asynchronous code that waits on something else most of the time.

Runs have connections of their own, beside those of requests: neither slow requests nor a pool
that waits for a database to come back may keep an answer from being stored.
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

P = ParamSpec("P")
T = TypeVar("T")

# What a database raises that is away, restarting or locked.
UNAVAILABLE = (OperationalError, InterfaceError)
# How long the end of an answer is tried to be stored, and how often.
PATIENCE_SECONDS = 300
RETRY_SECONDS = 0.5

_THREADS = 4
_IDLE_SECONDS = 60
_threads = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="database")
_idle: list[tuple[float, BaseDatabaseWrapper]] = []
_idle_lock = threading.Lock()


async def in_database(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread, on a connection that nobody else has meanwhile.

    Nobody who streams tokens may hold a connection while waiting for the next one: ten open
    streams would hold ten connections.
    """

    def work_on_own_connection() -> T:
        with own_connection():
            return work(*args, **kwargs)

    return await asyncio.get_running_loop().run_in_executor(_threads, work_on_own_connection)


async def in_database_at_last(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_database`, again and again while the database is away or locked.

    Between two tries neither a thread nor a connection is held. `work` must come to the same
    when an earlier try was committed though its connection broke.

    Raises the last try's error after PATIENCE_SECONDS.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            return await in_database(work, *args, **kwargs)
        except UNAVAILABLE:
            if loop.time() >= give_up_at:
                raise
        await asyncio.sleep(RETRY_SECONDS)


@contextmanager
def own_connection() -> Iterator[None]:
    """In this thread, use one of the runs' connections while the block runs."""
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
    """Let go of the cursors that the frames of a database's error hold on to.

    Django's errors and their frames refer to one another, which leaves them to the garbage
    collector. That runs in any thread, and with SQLite it would stop the whole process there,
    until whoever waits for a lock on the cursor's connection has done waiting.
    """
    link: BaseException | None = error
    while link is not None:
        traceback.clear_frames(link.__traceback__)
        link = link.__cause__ or link.__context__


def close_idle(*, idle_seconds: float = _IDLE_SECONDS) -> None:
    """Close the connections that nobody has used for a while."""
    used_since = time.monotonic() - idle_seconds
    with _idle_lock:
        old = [connection for used_at, connection in _idle if used_at <= used_since]
        _idle[:] = [entry for entry in _idle if entry[0] > used_since]
    for connection in old:
        connection.close()


def _take() -> BaseDatabaseWrapper:
    with _idle_lock:
        connection = _idle.pop()[1] if _idle else _new()
    # It may have been broken, or cut, since it was last used.
    connection.close_if_unusable_or_obsolete()
    return connection


def _new() -> BaseDatabaseWrapper:
    """A connection as `default` is, but not from the pool, and not patient.

    Whoever uses it tries again, instead of waiting in a thread.
    """
    connection: BaseDatabaseWrapper = connections.create_connection(DEFAULT_DB_ALIAS).copy()
    connection.inc_thread_sharing()  # one thread after the other
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
