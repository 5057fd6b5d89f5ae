"""The connections of Procrastinate's worker, which outlives a database that is away.

Procrastinate's own worker exits when a statement fails, and takes all answers with it.
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

from agents_app.runs import heartbeat_file, liveness
from agents_app.runs.db_threads import RETRY_INTERVAL, RETRY_TIMEOUT

T = TypeVar("T")
Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]


class WorkerConnector(PsycopgConnector):
    """Repeats what fails because the database is away.

    A job that is fetched without the worker learning of it is queued anew by
    agents_app.runs.liveness.
    """

    def __init__(self, **connecting: Any) -> None:
        super().__init__(
            **connecting,
            pool_factory=_unchecked_pool,
            configure=_commit_each_statement,
            # The pool by itself would try less and less often.
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
        if settings.WORKER_HEARTBEAT_FILE:
            # To the end: a worker that is told to exit listens no more, and still answers.
            self._beating = heartbeat_file.start(Path(settings.WORKER_HEARTBEAT_FILE))
        listen = super().listen_notify
        await self._with_retries(inf, listen, on_notification=on_notification, channels=channels)

    async def _with_retries(
        self, seconds: float, work: Callable[..., Awaitable[T]], *args: Any, **options: Any
    ) -> T:
        """Raises the last error when the database has been away for so long."""
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
    """Procrastinate has each connection checked whenever it is used.

    That is a transaction more for each statement, and not needed: a statement that finds its
    connection broken is repeated.
    """
    return AsyncConnectionPool(**options | {"check": None})


async def _commit_each_statement(connection: Connection) -> None:
    """Procrastinate's are functions of its own, which need no BEGIN and COMMIT around them."""
    await connection.set_autocommit(True)


async def _check(pool: Pool) -> None:
    """Replace the connections that are broken."""
    await pool.check()


def _is_unavailable(error: ConnectorException) -> bool:
    return isinstance(error.__cause__, psycopg.OperationalError | psycopg.InterfaceError)
