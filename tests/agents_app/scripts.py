"""A scripted model for the tests of runs, and helpers that read what has become of a run."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import aclosing

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ThinkingPart

from agents_app.agents import RunResult, SimpleAgent
from agents_app.conversation import codec
from agents_app.models import AgentRun, RunFacts
from agents_app.runs import watching
from agents_app.runs.local_broadcast import Reasoning, get_broadcast
from agents_app.web import events
from sessions_app.models import Message


class Script:
    """Stands in for a model: says what the test scripts, when the test says so."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.closed = threading.Event()
        self.history: list[ModelMessage] = []
        self._lines: list[str | Reasoning | Exception] = []
        self._ended = False
        self._wake: Callable[[], object] = lambda: None

    def say(self, *lines: str | Exception) -> None:
        """The next pieces of the answer; an exception ends it."""
        self._lines += lines
        self._wake()

    def think(self, text: str) -> None:
        """The next piece of reasoning."""
        self._lines.append(Reasoning(text))
        self._wake()

    def end(self) -> None:
        """End the answer."""
        self._ended = True
        self._wake()

    def forget(self) -> None:
        """Start over, for another answer."""
        self._lines, self._ended = [], False

    async def answer(
        self,
        agent: SimpleAgent,
        prompt: str,
        *,
        on_text: Callable[[str], object] = lambda _: None,
        on_reasoning: Callable[[str], object] = lambda _: None,
        on_tools: Callable[[ModelMessage], object] = lambda _: None,
        message_history: Sequence[ModelMessage] = (),
        facts: RunFacts | None = None,
    ) -> RunResult:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(woken.set)
        self.history = list(message_history)
        self.started.set()
        position = 0
        said: list[str] = []
        thought: list[str] = []
        try:
            while True:
                if position < len(self._lines):
                    line = self._lines[position]
                    position += 1
                    if isinstance(line, Exception):
                        raise line
                    if isinstance(line, Reasoning):
                        thought.append(line.text)
                        on_reasoning(line.text)
                    else:
                        said.append(line)
                        on_text(line)
                elif self._ended:
                    break
                else:
                    await woken.wait()
                    woken.clear()
        finally:
            self.closed.set()
        text = "".join(said)
        reasoning = [ThinkingPart("".join(thought))] if thought else []
        response = ModelResponse(parts=[*reasoning, TextPart(content=text)])
        return RunResult(text, codec.to_rows([response]), truncated=False)


def wait_for(run: AgentRun) -> AgentRun:
    asyncio.run(watching.wait(run.pk, 30))
    run.refresh_from_db()
    return run


async def worker_has_left(run: AgentRun) -> None:
    """Return when this process no longer works on the run, whatever has become of it."""
    broadcast = get_broadcast(run.pk)
    if broadcast is not None:
        async for _ in broadcast.follow(quiet_seconds=30):
            pass


async def frames(run: AgentRun) -> list[str]:
    return [frame.decode() async for frame in events.run_events(run.pk)]


async def first_frame(run: AgentRun) -> str:
    async with asyncio.timeout(30), aclosing(events.run_events(run.pk)) as frames:
        return (await anext(frames)).decode()


def transcript(run: AgentRun) -> list[tuple[str, str]]:
    rows = Message.objects.filter(session=run.session_id).order_by("position")
    return [(row.role, row.text_content) for row in rows]
