"""Works on runs in the background: whoever started one may leave.

A process has one event loop for it: the web server's, where the watchers are, or under WSGI
one in a thread of its own. Runs hold nothing of the request that started them. The database
is only touched through `in_database`: no connection is held while tokens flow. What comes is
saved meanwhile by agents_app.liveness.
"""

import asyncio
import contextlib
import contextvars
import logging
import threading
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.db import transaction

from agents_app import live, liveness
from agents_app.database import UNAVAILABLE, in_database, in_database_at_last
from agents_app.llm import clients
from agents_app.models import Agent, AgentRun
from agents_app.rendering import markdown
from sessions_app.models import Message, Session
from sessions_app.writing import append_messages

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

logger = logging.getLogger(__name__)

_QUIT_SECONDS = 5


def work_in(loop: asyncio.AbstractEventLoop) -> None:
    """Work in the event loop of the web server; called when it starts."""
    global _server_loop
    _server_loop = loop


def warm_up() -> None:
    """Import what runs need; it takes seconds, for which nobody should have to wait."""
    import agents_app.agents  # noqa: F401 - imported for those who import it later

    clients.import_library()
    markdown("")


def submit(run_id: UUID) -> None:
    """Start to work on a run that was made here and is committed; returns at once."""
    _turns[run_id] = turn = _Turn(run_id, live.open_run(run_id))
    liveness.add(turn)
    # A context of its own: work that outlives the request must not use what is its own.
    contextvars.Context().run(_start, turn)


def stopped(run_id: UUID) -> None:
    """Tell a worker in this process at once that its run was stopped."""
    turn = _turns.get(run_id)
    if turn is not None:
        _loop().call_soon_threadsafe(turn.cut_off)


async def wait(run_id: UUID, seconds: float) -> None:
    """Return when the run has ended, or the time is over; for pages without JavaScript."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            running = live.get_run(run_id)
            if running is not None:
                async with aclosing(running.follow(quiet_seconds=seconds)) as pieces:
                    async for _ in pieces:
                        pass


async def quit_all() -> None:
    """The server stops: mark its runs as interrupted; they keep what has come."""
    live.close()
    turns = list(_turns.values())
    for turn in turns:
        _loop().call_soon_threadsafe(turn.cut_off, AgentRun.Status.INTERRUPTED)
    await asyncio.gather(*(wait(turn.run_id, _QUIT_SECONDS) for turn in turns))


_turns: dict[UUID, "_Turn"] = {}
_server_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def _loop() -> asyncio.AbstractEventLoop:
    if _server_loop is not None:
        return _server_loop
    with _loop_lock:
        return _loop_in_thread()


@cache
def _loop_in_thread() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="runs", daemon=True).start()
    return loop


def _start(turn: "_Turn") -> "Future[None]":
    return asyncio.run_coroutine_threadsafe(_work_on(turn), _loop())


async def _work_on(turn: "_Turn") -> None:
    try:
        await turn.work()
    except UNAVAILABLE:
        logger.exception("Run %s could not be stored", turn.run_id)
        await turn.fail("The answer could not be stored.")
    except Exception:
        logger.exception("Run %s failed in a way nobody thought of", turn.run_id)
        await turn.fail("Something went wrong here.")
    finally:
        _turns.pop(turn.run_id, None)
        liveness.remove(turn)
        live.close_run(turn.run_id)


@dataclass
class _Turn:
    """The work on one run, until it is recorded how it ended.

    Only the answering is ever cut off: what has come is stored undisturbed, however long the
    database is away.
    """

    run_id: UUID
    running: live.LiveRun
    _answering: "asyncio.Task[list[ModelMessage]] | None" = None
    _resuming: "asyncio.Task[None] | None" = None
    _cut_off_as: AgentRun.Status | None = None

    async def work(self) -> None:
        from agents_app.agents import AgentFailed, BrokenOff

        task = await in_database_at_last(_read_task, self.run_id)
        if task is None:
            return
        self._answering = asyncio.create_task(self._answer(task))
        if self._cut_off_as:
            self._answering.cancel()
        await asyncio.wait([self._answering])
        if self._resuming is not None:  # nothing may take back the end that is recorded now
            await self._resuming
        try:
            messages = self._answering.result()
        except BrokenOff as error:
            recorded = await self._finish(AgentRun.Status.INTERRUPTED, str(error))
        except AgentFailed as error:
            recorded = await self._finish(AgentRun.Status.FAILED, str(error))
        except asyncio.CancelledError:
            is_quitting = self._cut_off_as == AgentRun.Status.INTERRUPTED
            recorded = is_quitting and await self._finish(
                AgentRun.Status.INTERRUPTED, "The server was stopped."
            )
        else:
            recorded = await in_database_at_last(_store_answer, self.run_id, messages)
        if not recorded:
            await in_database_at_last(_keep_cut_off, self.run_id, self.text, uuid4())

    async def fail(self, error: str) -> None:
        """Record that it has failed, in whatever state it is."""
        try:
            await self._finish(AgentRun.Status.FAILED, error)
        except Exception:
            logger.exception("The end of run %s could not be recorded", self.run_id)

    def cut_off(self, status: AgentRun.Status = AgentRun.Status.STOPPED) -> None:
        """End the answering, because the run has ended as `status`, or is to end so."""
        self._cut_off_as = self._cut_off_as or status
        if self._answering is not None:
            self._answering.cancel()

    # --- What liveness asks for ------------------------------------------------

    @property
    def text(self) -> str:
        return self.running.text

    def ended_elsewhere(self, status: str | None) -> None:
        if status == AgentRun.Status.INTERRUPTED:
            _loop().call_soon_threadsafe(self._resume_soon)
        else:
            _loop().call_soon_threadsafe(self.cut_off)

    # --- Within ----------------------------------------------------------------

    def _resume_soon(self) -> None:
        """Go on, though the process was presumed dead, unless the chat has gone on."""
        is_answering = self._answering is not None and not self._answering.done()
        if is_answering and not self._cut_off_as and self._resuming is None:
            self._resuming = asyncio.create_task(self._resume())

    async def _resume(self) -> None:
        try:
            if not await in_database(_resume, self.run_id):
                self.cut_off()
        except UNAVAILABLE:
            pass  # liveness asks again
        finally:
            self._resuming = None

    async def _finish(self, status: AgentRun.Status, error: str) -> bool:
        finish = AgentRun(pk=self.run_id).finish
        return await in_database_at_last(finish, status, text=self.text, error=error)

    async def _answer(self, task: "_Task") -> "list[ModelMessage]":
        from agents_app.agents import Finished, SimpleAgent

        messages: list[ModelMessage] = []
        agent = SimpleAgent.for_row(task.agent)
        async for piece in agent.stream(task.prompt, message_history=task.history):
            if isinstance(piece, Finished):
                messages = piece.new_messages
            else:
                self.running.append(piece)
        return messages


@dataclass(frozen=True)
class _Task:
    """What has to be answered, by whom, and what was said before."""

    agent: Agent
    prompt: str
    history: "list[ModelMessage]"


def _read_task(run_id: UUID) -> _Task | None:
    """The run's task; None when it has been stopped, or is gone."""
    run = AgentRun.objects.select_related("agent", "message").filter(pk=run_id).first()
    if run is None or not (run.is_active or run.is_interrupted):
        return None
    assert run.agent is not None  # noqa: S101 - whoever makes a run knows its agent
    # The first message of a chat has nothing before it.
    history = _read_history(run.message) if run.message.position > 1 else []
    return _Task(run.agent, run.message.text_content, history)


def _read_history(message: Message) -> "list[ModelMessage]":
    """What was said before the message that is to be answered."""
    from agents_app.history import MessageHistory

    history = MessageHistory(message.session_id, user_id=message.user_id, no_auto_create=True)
    return history.before(message)


def _store_answer(run_id: UUID, messages: "list[ModelMessage]") -> bool:
    """Store the run's messages and its end together; neither when it has ended or is gone."""
    from agents_app.transcripts import rows_from

    try:
        with transaction.atomic():
            run = _run_of_locked_session(run_id)
            if run is None:
                logger.info("Run %s finished after its chat was deleted", run_id)
                return False
            if run.status == AgentRun.Status.DONE:
                return True  # by an earlier try, though nobody was told
            if run.is_interrupted and not run.resume():
                return False
            # The first of them is the person's message, which is there already.
            append_messages(_for_run(run, rows_from(messages[1:])))
            if not run.finish(AgentRun.Status.DONE, text=""):
                raise _Overtaken
    except _Overtaken:
        return False
    return True


class _Overtaken(Exception):
    """The run was ended just before it could be recorded as done."""


def _keep_cut_off(run_id: UUID, text: str, message_id: UUID) -> None:
    """Keep what had come when the run was ended by somebody else.

    What a person stopped becomes a message with the given id, unless the chat has gone on. A
    run that was held for dead keeps it as its text.
    """
    with transaction.atomic():
        run = _run_of_locked_session(run_id)
        if run is None or Message.objects.filter(pk=message_id).exists():
            return
        last = Message.objects.filter(session=run.session_id).order_by("-position").first()
        is_last = last is not None and last.pk == run.message_id
        if run.status == AgentRun.Status.STOPPED and is_last and text.strip():
            answer = Message(pk=message_id, role=Message.Role.ASSISTANT, text_content=text)
            append_messages(_for_run(run, [answer]))
            text = ""
        AgentRun.objects.filter(pk=run_id).update(text=text)


def _resume(run_id: UUID) -> bool:
    """Whether the run goes on, now that it is known that its process lives."""
    with transaction.atomic():
        run = _run_of_locked_session(run_id)
        return run is not None and (run.is_active or run.resume())


def _run_of_locked_session(run_id: UUID) -> AgentRun | None:
    """The run, as it is now that nobody else can write to its session; None if it is gone."""
    session = Session.objects.select_for_update(of=("self",)).filter(runs=run_id)
    if not session.values_list("pk", flat=True):
        return None
    return AgentRun.objects.filter(pk=run_id).first()


def _for_run(run: AgentRun, rows: list[Message]) -> list[Message]:
    for row in rows:
        row.session_id, row.user_id, row.agent_id = run.session_id, run.user_id, run.agent_id
    return rows
