"""Limits how many runs a process works on at a time, and how many of them are of one user.

Further runs wait in the event loop, without a thread or a connection. A user's limit holds across
processes, since the database knows the runs of the others. agents_app.runs.queue limits the runs
of workers.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from django.conf import settings
from django.db import connection

from agents_app.models import AgentRun

_LOCK = 1_346_456_908  # the first key of the lock on a user; an arbitrary number


def has_room(run: AgentRun) -> bool:
    """Whether a new run is within its user's limit.

    Called in the transaction that creates the run. Until that ends, no other process can ask for
    the same user, so that each sees the runs of the others.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK, run.user_id])
    others = AgentRun.objects.active().requested_by(run.user_id).exclude(pk=run.pk)
    return others.count() < settings.AGENT_RUNS_PER_USER


class Slots:
    """The slots of one event loop. Waiting runs are admitted in order of arrival.

    A run whose user has reached the limit lets others pass.
    """

    def __init__(self) -> None:
        self._running: Counter[int | None] = Counter()
        self._waiting: deque[tuple[int | None, asyncio.Event]] = deque()

    @asynccontextmanager
    async def slot(
        self, user_id: int | None, on_wait: Callable[[], object] = lambda: None
    ) -> AsyncIterator[bool]:
        """Within it, a run of this user may be worked on. Yields whether it had to wait.

        If it has to, `on_wait` is called first.
        """
        admitted = asyncio.Event()
        entry = (user_id, admitted)
        self._waiting.append(entry)
        self._admit()
        try:
            has_waited = not admitted.is_set()
            if has_waited:
                on_wait()
            await admitted.wait()
            yield has_waited
        finally:
            if admitted.is_set():
                self._running[user_id] -= 1
                if not self._running[user_id]:
                    del self._running[user_id]
            else:
                self._waiting.remove(entry)
            self._admit()

    def _admit(self) -> None:
        for entry in list(self._waiting):
            if self._running.total() >= settings.AGENT_RUNS_PER_PROCESS:
                return
            user_id, admitted = entry
            if self._running[user_id] < settings.AGENT_RUNS_PER_USER:
                self._waiting.remove(entry)
                self._running[user_id] += 1
                admitted.set()
