"""Works on runs in the background: whoever started one may leave.

A process has one event loop for it: the web server's, where the watchers are, or under WSGI
one in a thread of its own. Runs hold nothing of the request that started them. The database
is only touched through `in_database`: no connection is held while tokens flow.
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
from uuid import UUID

from django.db import Error, transaction

from agents_app import live
from agents_app.database import in_database
from agents_app.llm import clients
from agents_app.models import AgentRun
from agents_app.rendering import markdown
from sessions_app.models import Message, Session
from sessions_app.writing import SessionGone, append_messages

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage

logger = logging.getLogger(__name__)

# How often what has come is saved, and a Stop pressed in another process is noticed.
SAVE_SECONDS = 0.25
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


def submit(run: AgentRun) -> None:
    """Start to work on a run that this process has made and committed; returns at once."""
    _turns[run.pk] = turn = _Turn(run, live.open_run(run.pk))
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
    for turn in list(_turns.values()):
        _loop().call_soon_threadsafe(turn.cut_off, AgentRun.Status.INTERRUPTED)
    for run_id in list(_turns):
        await wait(run_id, _QUIT_SECONDS)


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
    run_id = turn.run.pk
    try:
        await turn.work()
    except Exception:
        logger.exception("Run %s failed in a way nobody thought of", run_id)
        with contextlib.suppress(Exception):
            await turn.finish(AgentRun.Status.FAILED, "Something went wrong here.")
    finally:
        _turns.pop(run_id, None)
        live.close_run(run_id)


@dataclass
class _Turn:
    """The work on one run, until it is recorded how it ended.

    Only the answering is ever cut off: what has come is stored undisturbed.
    """

    run: AgentRun
    running: live.LiveRun
    _answering: "asyncio.Task[list[ModelMessage]] | None" = None
    _cut_off_as: AgentRun.Status | None = None

    async def work(self) -> None:
        from agents_app.agents import AgentFailed

        self._answering = asyncio.create_task(self._answer())
        if self._cut_off_as:
            self._answering.cancel()
        saving = asyncio.create_task(self._save_until_ended())
        try:
            messages = await self._answering
        except AgentFailed as error:
            recorded = await self.finish(AgentRun.Status.FAILED, str(error))
        except asyncio.CancelledError:
            is_quitting = self._cut_off_as == AgentRun.Status.INTERRUPTED
            recorded = is_quitting and await self.finish(
                AgentRun.Status.INTERRUPTED, "The server was stopped."
            )
        else:
            recorded = await in_database(_store_answer, self.run.pk, messages)
        finally:
            saving.cancel()
        if not recorded:
            await in_database(_keep_cut_off, self.run.pk, self.running.text)

    def cut_off(self, status: AgentRun.Status = AgentRun.Status.STOPPED) -> None:
        """End the answering, because the run has ended as `status`, or is to end so."""
        self._cut_off_as = self._cut_off_as or status
        if self._answering is not None:
            self._answering.cancel()

    async def finish(self, status: AgentRun.Status, error: str) -> bool:
        return await in_database(self.run.finish, status, text=self.running.text, error=error)

    async def _answer(self) -> "list[ModelMessage]":
        from agents_app.agents import Finished, SimpleAgent

        messages: list[ModelMessage] = []
        row, message = self.run.agent, self.run.message
        assert row is not None  # noqa: S101 - whoever makes a run knows its agent
        agent = SimpleAgent.for_row(row)
        # The first message of a chat has nothing before it.
        history = await in_database(_read_history, message) if message.position > 1 else []
        async for piece in agent.stream(message.text_content, message_history=history):
            if isinstance(piece, Finished):
                messages = piece.new_messages
            else:
                self.running.append(piece)
        return messages

    async def _save_until_ended(self) -> None:
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            try:
                alive = await in_database(self.run.keep_alive, self.running.text)
            except Error:
                logger.warning("Run %s could not be saved; trying again", self.run.pk)
                continue
            if not alive:
                self.cut_off()
                return


def _read_history(message: Message) -> "list[ModelMessage]":
    """What was said before the message that is to be answered."""
    from agents_app.history import MessageHistory

    history = MessageHistory(message.session_id, user_id=message.user_id, no_auto_create=True)
    return history.before(message)


def _store_answer(run_id: UUID, messages: "list[ModelMessage]") -> bool:
    """Store the run's messages and its end together; neither when it has ended or is gone."""
    from agents_app.transcripts import rows_from

    run = AgentRun.objects.filter(pk=run_id).first()
    if run is None:
        return False
    try:
        with transaction.atomic():
            # The first of them is the person's message, which is there already.
            append_messages(_for_run(run, rows_from(messages[1:])))
            if not run.finish(AgentRun.Status.DONE, text=""):
                raise _Overtaken
    except _Overtaken:
        return False
    except SessionGone:
        logger.info("Run %s finished after its chat was deleted", run_id)
        return False
    return True


class _Overtaken(Exception):
    """The run was ended just before it could be recorded as done."""


def _keep_cut_off(run_id: UUID, text: str) -> None:
    """Keep what had come when the run was ended by somebody else.

    What a person stopped becomes a message, unless the chat has gone on. A run that was held
    for dead keeps it as its text.
    """
    with transaction.atomic():
        run = AgentRun.objects.filter(pk=run_id).first()
        if run is None or not Session.objects.select_for_update().filter(pk=run.session_id):
            return
        last = Message.objects.filter(session=run.session_id).order_by("-position").first()
        is_last = last is not None and last.pk == run.message_id
        if run.status == AgentRun.Status.STOPPED and is_last and text.strip():
            answer = Message(role=Message.Role.ASSISTANT, text_content=text)
            append_messages(_for_run(run, [answer]))
            text = ""
        AgentRun.objects.filter(pk=run_id).update(text=text)


def _for_run(run: AgentRun, rows: list[Message]) -> list[Message]:
    for row in rows:
        row.session_id, row.user_id, row.agent_id = run.session_id, run.user_id, run.agent_id
    return rows
