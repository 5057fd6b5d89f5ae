"""Works on one run: has the agent answer, publishes its text, stores how it ended.

The database is only used through agents_app.runs.db_threads: no connection is held while
tokens arrive. The growing text is saved by agents_app.runs.saver.
"""

import asyncio
import enum
import logging
import time
from collections.abc import Coroutine
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from django.utils import timezone

from agents_app.models import AgentRun, RunFacts, RunStatus
from agents_app.runs import metrics, saver, storage
from agents_app.runs.db_threads import (
    UNAVAILABLE_ERRORS,
    run_in_db_thread,
    run_in_db_thread_with_retries,
    store_in_db_thread,
)
from agents_app.runs.local_broadcast import Broadcast, Outcome, Reasoning, ToolUse
from sessions_app.models import Message

# The agent library takes a second to import, for which no request should wait.
if TYPE_CHECKING:
    from agents_app.agents import RunResult

logger = logging.getLogger(__name__)


class CancelReason(enum.Enum):
    """Why a worker is cancelled, and so what it records."""

    ENDED = "the run has been ended by its user or another process"
    INTERRUPTED = "the process is about to exit"
    REQUEUED = "the process is about to exit, and another one is to answer"


@dataclass
class RunWorker:
    """The work on one attempt at a run, until its end is recorded. Its methods run in `loop`.

    Only the answering is ever cancelled: the end is stored however long the database is
    unavailable.
    """

    run_id: UUID
    attempt: int
    broadcast: Broadcast
    loop: asyncio.AbstractEventLoop
    has_started: bool = False
    outcome: Outcome | None = None
    facts: RunFacts = field(default_factory=RunFacts)
    _answering: "asyncio.Task[RunResult] | None" = None
    _resuming: "asyncio.Task[None] | None" = None
    _waiting: "asyncio.Task[bool] | None" = None
    _cancelled: CancelReason | None = None
    _started_at: float = field(default_factory=time.monotonic)

    async def unless_cancelled(self, waiting: Coroutine[Any, Any, bool]) -> bool | None:
        """Wait for a result; None if this worker is cancelled first, and has an end to record."""
        self._waiting = asyncio.create_task(waiting)
        if self._cancelled:
            self._waiting.cancel()
        await asyncio.wait([self._waiting])
        return None if self._waiting.cancelled() else self._waiting.result()

    async def work(self, run: AgentRun | None = None) -> None:
        """Answer, and store the answer or why there is none.

        A `run` that has just been committed, with its message and agent, need not be read.
        """
        self.facts.started_at = run.started_at if run else None
        run_input = await self._start(run)
        if run_input is None:
            return
        self.facts.started_at = run_input.run.started_at or timezone.now()
        self.has_started = True  # the saver records it, together with all others
        self._answering = asyncio.create_task(self._answer(run_input))
        if self._cancelled:
            self._answering.cancel()
        await asyncio.wait([self._answering])
        if self._resuming is not None:  # it must not undo the end that is recorded below
            await self._resuming
        if not await self._record_end(self._answering, run_input):
            await store_in_db_thread(
                storage.store_partial_answer,
                *(self.run_id, self.attempt, self.text, uuid4(), self.facts),
            )

    async def fail(self, error: str) -> None:
        """Record that the run has failed, if that can be recorded."""
        try:
            await self._finish(RunStatus.FAILED, error)
        except Exception:
            logger.exception("The end of run %s could not be recorded", self.run_id)

    def cancel(self, reason: CancelReason = CancelReason.ENDED) -> None:
        """Cancel the answering, or the waiting for it."""
        self._cancelled = self._cancelled or reason
        for task in (self._waiting, self._answering):
            if task is not None:
                task.cancel()

    @property
    def text(self) -> str:
        return self.broadcast.text

    def on_ended_elsewhere(self, status: str | None) -> None:
        """Called in the saver's thread."""
        is_presumed_dead = status == RunStatus.INTERRUPTED
        self.loop.call_soon_threadsafe(self._start_resuming if is_presumed_dead else self.cancel)

    def _start_resuming(self) -> None:
        """Continue although this process was presumed dead, unless the chat has continued."""
        is_answering = self._answering is not None and not self._answering.done()
        if is_answering and not self._cancelled and self._resuming is None:
            self._resuming = asyncio.create_task(self._resume())

    async def _resume(self) -> None:
        try:
            if not await run_in_db_thread(storage.resume, self.run_id):
                self.cancel()
        except UNAVAILABLE_ERRORS:
            pass  # the saver reports it again
        finally:
            self._resuming = None

    async def _record_end(
        self, answering: "asyncio.Task[RunResult]", run_input: storage.RunInput
    ) -> bool:
        """Record how the answering ended; False if the run had already ended or was lost."""
        from agents_app.agents import AgentFailed, ResponseInterrupted

        try:
            result = answering.result()
        except ResponseInterrupted as error:
            return await self._finish(RunStatus.INTERRUPTED, error.for_staff)
        except AgentFailed as error:
            return await self._finish(RunStatus.FAILED, error.for_staff)
        except asyncio.CancelledError:
            return await self._record_cancelled()
        recorded = await store_in_db_thread(
            storage.store_answer, run_input.run, self.attempt, result.rows, self.facts
        )
        self._observe_end(RunStatus.DONE, recorded)
        if recorded:
            self._set_outcome(run_input, result.rows)
        return recorded

    async def _record_cancelled(self) -> bool:
        match self._cancelled:
            case CancelReason.ENDED:
                return False
            case CancelReason.REQUEUED:
                return await store_in_db_thread(storage.requeue, self.run_id, self.attempt)
        # The process is about to exit, or a library has cancelled a task that is not its own.
        return await self._finish(RunStatus.INTERRUPTED, "The server was stopped.")

    async def _finish(self, status: RunStatus, error: str) -> bool:
        recorded = await store_in_db_thread(
            AgentRun(pk=self.run_id).finish,
            status,
            text=self.text,
            error=error,
            attempt=self.attempt,
            facts=self.facts,
        )
        self._observe_end(status, recorded)
        return recorded

    def _set_outcome(self, run_input: storage.RunInput, rows: list[Message]) -> None:
        """Give watchers what this process has just stored, so that they need not read it."""
        run = copy(run_input.run)  # a request may still be using it
        run.status, run.text = RunStatus.DONE, ""
        for name, value in vars(self.facts).items():
            setattr(run, name, value)
        for row in rows:
            row.agent = run_input.agent
        self.outcome = Outcome(run, rows)

    def _observe_end(self, status: RunStatus, recorded: bool) -> None:
        if recorded:
            metrics.observe_end(status, time.monotonic() - self._started_at)

    async def _start(self, run: AgentRun | None) -> storage.RunInput | None:
        if run is None:
            return await run_in_db_thread_with_retries(storage.start, self.run_id)
        if run.message.position == 1:
            return storage.input_of(run)
        return await run_in_db_thread_with_retries(storage.input_of, run)

    async def _answer(self, run_input: storage.RunInput) -> "RunResult":
        from agents_app.agents import SimpleAgent

        has_text = False

        def publish(piece: str) -> None:
            nonlocal has_text
            self.broadcast.publish(piece)
            if not has_text:
                has_text = True
                self.facts.first_token_at = timezone.now()
                metrics.observe_first_token(time.monotonic() - self._started_at)
                saver.save_soon()

        return await SimpleAgent.for_row(run_input.agent, run_input.options).answer(
            run_input.prompt,
            on_text=publish,
            on_reasoning=lambda text: self.broadcast.publish(Reasoning(text)),
            on_tools=lambda message: self.broadcast.publish(ToolUse(message)),
            message_history=run_input.history,
            facts=self.facts,
        )
