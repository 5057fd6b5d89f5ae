"""Connections with which Procrastinate's worker survives an outage of the database.

With its own, the worker exits when a statement fails, and loses all unfinished answers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from math import inf
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg
from django.conf import settings
from procrastinate import PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from psycopg_pool import AsyncConnectionPool

from agents_app.runs import dispatch, heartbeat_file, liveness
from agents_app.runs.db_threads import RETRY_INTERVAL, RETRY_TIMEOUT

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]


class WorkerConnector(PsycopgConnector):
    """Retries statements that fail because the database is unavailable.

    A job that is fetched without the worker learning of it is requeued by agents_app.runs.liveness.
    """

    def __init__(self, **connecting: Any) -> None:
        super().__init__(
            **connecting,
            pool_factory=_unchecked_pool,
            configure=_commit_each_statement,
            # By default, the pool would retry less and less often.
            reconnect_timeout=2.0,
            reconnect_failed=_check,
        )

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        await self._with_retries(RETRY_TIMEOUT, super().execute_query_async, query, **arguments)

    async def execute_query_one_async(
        self, query: LiteralString, **arguments: Any
    ) -> dict[str, Any]:
        return await self._with_retries(
            RETRY_TIMEOUT, super().execute_query_one_async, query, **arguments
        )

    async def execute_query_all_async(
        self, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        return await self._with_retries(
            RETRY_TIMEOUT, super().execute_query_all_async, query, **arguments
        )

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Called once, when a worker starts."""
        liveness.start()
        asyncio.get_running_loop().run_in_executor(None, dispatch.warm_up)
        if settings.WORKER_HEARTBEAT_FILE:
            # Until the end: an exiting worker stops listening, but still answers.
            self._heartbeat = heartbeat_file.start(Path(settings.WORKER_HEARTBEAT_FILE))
        listen = super().listen_notify
        await self._with_retries(inf, listen, on_notification=on_notification, channels=channels)

    async def _with_retries(
        self, seconds: float, work: Callable[..., Awaitable[T]], *args: Any, **options: Any
    ) -> T:
        """Raises the last error when the database has been unavailable for so long."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + seconds
        while True:
            try:
                return await work(*args, **options)
            except ConnectorException as error:
                if not _is_unavailable(error) or loop.time() >= give_up_at:
                    raise
            await asyncio.sleep(RETRY_INTERVAL)
            await _check(self.pool)


def _unchecked_pool(**options: Any) -> Pool:
    """A pool without Procrastinate's check of each connection that is used.

    It would cost a further transaction per statement, and is not needed: a statement that finds
    its connection broken is retried.
    """
    return AsyncConnectionPool(**options | {"check": None})


async def _commit_each_statement(connection: Connection) -> None:
    """Procrastinate's statements are calls of functions, which need no BEGIN and COMMIT."""
    await connection.set_autocommit(True)


async def _check(pool: Pool) -> None:
    """Replace the connections that are broken."""
    await pool.check()


def _is_unavailable(error: ConnectorException) -> bool:
    return isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)
