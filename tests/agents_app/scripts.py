"""A model for the tests of runs, and how they look at what became of them."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Sequence

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.usage import RunUsage

from agents_app import runner, streaming
from agents_app.agents import Finished, SimpleAgent
from agents_app.models import AgentRun
from sessions_app.models import Message


class Script:
    """Stands in for a model: says what the test tells it to, when it tells it to."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.closed = threading.Event()
        self.history: list[ModelMessage] = []
        self._lines: list[str | Exception] = []
        self._ended = False
        self._wake: Callable[[], object] = lambda: None

    def say(self, *lines: str | Exception) -> None:
        """The next pieces of the answer; an exception ends it."""
        self._lines += lines
        self._wake()

    def end(self) -> None:
        """That was the answer."""
        self._ended = True
        self._wake()

    def forget(self) -> None:
        """Begin anew, for another answer."""
        self._lines, self._ended = [], False

    async def stream(
        self, agent: SimpleAgent, prompt: str, *, message_history: Sequence[ModelMessage] = ()
    ) -> AsyncGenerator[str | Finished]:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(told.set)
        self.history = list(message_history)
        self.started.set()
        said: list[str] = []
        try:
            while True:
                if len(said) < len(self._lines):
                    line = self._lines[len(said)]
                    if isinstance(line, Exception):
                        raise line
                    said.append(line)
                    yield line
                elif self._ended:
                    break
                else:
                    await told.wait()
                    told.clear()
        finally:
            self.closed.set()
        text = "".join(said)
        request = ModelRequest(parts=[UserPromptPart(content=prompt)])
        response = ModelResponse(parts=[TextPart(content=text)])
        yield Finished(text, [request, response], RunUsage(), cut_off=False)


def wait_for(run: AgentRun) -> AgentRun:
    asyncio.run(runner.wait(run.pk, 30))
    run.refresh_from_db()
    return run


async def frames(run: AgentRun) -> list[str]:
    return [frame.decode() async for frame in streaming.run_events(run.pk)]


async def first_frame(run: AgentRun) -> str:
    async for frame in streaming.run_events(run.pk):
        return frame.decode()
    raise AssertionError("there is always an end")


def transcript(run: AgentRun) -> list[tuple[str, str]]:
    rows = Message.objects.filter(session=run.session_id).transcript()
    return [(row.role, row.text_content) for row in rows]
