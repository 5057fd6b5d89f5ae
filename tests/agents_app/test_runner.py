"""Runs in the background: what becomes of them, whoever watches, stops or leaves."""

import asyncio
import threading
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.usage import RunUsage

from agents_app import live, runner, services, streaming
from agents_app.agents import AgentFailed, Finished, SimpleAgent
from agents_app.database import in_database
from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()

    def stream(agent: SimpleAgent, prompt: str, **options: Any) -> Any:
        return script.stream(agent, prompt, **options)

    monkeypatch.setattr(SimpleAgent, "stream", stream)
    yield script
    script.forget()
    script.end()


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def run(ana: User) -> AgentRun:
    agent = Agent.objects.get_or_create(name="simple")[0]
    return services.start_session(
        user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4()
    )[0]


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


def test_answer_is_stored_with_the_end_of_its_run(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good ", "day")
    script.end()
    runner.submit(run)
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good day")]
    answer = Message.objects.get(role="assistant")
    assert (answer.user, answer.agent) == (ana, run.agent)
    assert (run.text, run.error) == ("", "")


def test_history_is_what_was_said_before(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good day")
    script.end()
    runner.submit(run)
    wait_for(run)
    second, _ = services.send_message(
        user=ana, session_id=run.session_id, text="And now?", message_id=uuid.uuid4()
    )
    script.forget()
    script.say("Now")
    script.end()
    runner.submit(second)
    wait_for(second)
    said = [
        part.content
        for message in script.history
        for part in message.parts
        if isinstance(part, UserPromptPart | TextPart)
    ]
    assert said == ["Hello", "Good day"]


def test_watchers_come_and_go(run: AgentRun, script: Script) -> None:
    async def watch() -> None:
        await in_database(runner.submit, run)
        first = streaming.run_events(run.pk)
        script.say("Good ")
        assert "Good " in (await anext(first)).decode()
        await first.aclose()
        second = streaming.run_events(run.pk)
        assert "Good " in (await anext(second)).decode(), "it is sent what has come before"
        script.say("day")
        script.end()
        rest = [frame.decode() async for frame in second]
        assert '"day"' in rest[0]
        assert rest[-1].startswith("event: end")
        assert '"status": "done"' in rest[-1]

    asyncio.run(watch())
    assert wait_for(run).status == AgentRun.Status.DONE


def test_failure_keeps_what_came_but_not_as_the_assistants_words(
    run: AgentRun, script: Script, ana: User
) -> None:
    script.say("Good ", AgentFailed("The model is busy."))
    runner.submit(run)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert (run.text, run.error) == ("Good ", "The model is busy.")
    assert transcript(run) == [("user", "Hello")]

    again = services.retry_run(user=ana, run_id=run.pk)
    script.forget()
    script.say("Better")
    script.end()
    runner.submit(again)
    assert wait_for(again).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Better")]
    assert Session.objects.count() == 1


def test_bug_in_an_agent_ends_its_run(
    run: AgentRun, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.say(RuntimeError("a bug"))
    runner.submit(run)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert "a bug" not in run.error
    assert "a bug" in caplog.text


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "from another"])
def test_stop_keeps_what_came(run: AgentRun, script: Script, ana: User, here: bool) -> None:
    script.say("Good ")
    runner.submit(run)
    asyncio.run(first_frame(run))
    assert services.stop_run(user=ana, run_id=run.pk)
    if here:
        runner.stopped(run.pk)
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert script.closed.wait(30), "the model is told to stop"
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good ")]
    assert services.send_message(
        user=ana, session_id=run.session_id, text="Go on", message_id=uuid.uuid4()
    )


def test_silence_is_filled(run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies end connections on which nothing comes."""
    monkeypatch.setattr(streaming, "KEEP_ALIVE_SECONDS", 0.01)

    async def watch() -> list[str]:
        await in_database(runner.submit, run)
        seen: list[str] = []
        async for frame in streaming.run_events(run.pk):
            if not seen:
                script.say("At last")
                script.end()
            seen.append(frame.decode())
        return seen

    seen = asyncio.run(watch())
    assert seen[0] == ": still here\n\n"
    assert any("At last" in frame for frame in seen[1:])
    assert wait_for(run).status == AgentRun.Status.DONE


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "from another"])
def test_watcher_hears_of_a_database_that_is_gone(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch, here: bool
) -> None:
    """The response has begun, with status 200; it must not just break off."""

    async def gone(*_: object) -> None:
        raise OperationalError("gone")

    async def watch() -> None:
        if here:
            await in_database(runner.submit, run)
        watcher = streaming.run_events(run.pk)
        script.end()
        monkeypatch.setattr(streaming, "in_database", gone)
        assert await anext(watcher) == b'event: end\ndata: {"status": "failed", "html": ""}\n\n'
        with pytest.raises(OperationalError):
            await anext(watcher)

    asyncio.run(watch())
    asyncio.run(runner.wait(run.pk, 30))


@pytest.mark.parametrize("ending", [[], [AgentFailed("busy")]], ids=["an answer", "a failure"])
def test_stop_while_the_end_is_recorded(
    run: AgentRun,
    script: Script,
    ana: User,
    monkeypatch: pytest.MonkeyPatch,
    ending: list[Exception],
) -> None:
    """Whoever presses Stop, twice even, may cut off the model, and not what is stored."""
    recording, go_on = threading.Event(), threading.Event()

    async def slow(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if script.closed.is_set():
            recording.set()
            await asyncio.to_thread(go_on.wait, 30)
        return await in_database(work, *args, **options)

    monkeypatch.setattr(runner, "in_database", slow)
    script.say("Everything that was seen", *ending)
    script.end()
    runner.submit(run)
    assert recording.wait(30)
    for _ in ("here", "in another tab"):
        services.stop_run(user=ana, run_id=run.pk)
        runner.stopped(run.pk)
    go_on.set()
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert transcript(run) == [("user", "Hello"), ("assistant", "Everything that was seen")]


def test_run_that_was_held_for_dead_keeps_what_it_has(run: AgentRun, script: Script) -> None:
    """As when a laptop sleeps: the worker is alive, and silent for too long."""
    script.say("Still ")
    runner.submit(run)
    asyncio.run(first_frame(run))
    silent = timezone.now() - AgentRun.objects.all().SILENCE * 2
    AgentRun.objects.filter(pk=run.pk).update(heartbeat_at=silent)
    AgentRun.objects.mark_silent_as_interrupted()
    assert wait_for(run).status == AgentRun.Status.INTERRUPTED
    assert run.text == "Still "
    assert transcript(run) == [("user", "Hello")]


def test_stop_before_anything_came(run: AgentRun, script: Script, ana: User) -> None:
    services.stop_run(user=ana, run_id=run.pk)
    runner.submit(run)
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert not script.started.is_set() or script.closed.wait(30), "the model is told to stop"
    assert transcript(run) == [("user", "Hello")]


def test_chat_deleted_meanwhile_stays_deleted(run: AgentRun, script: Script, ana: User) -> None:
    runner.submit(run)
    assert script.started.wait(30)
    services.delete_session(user=ana, session_id=run.session_id)
    script.say("Too late")
    script.end()
    asyncio.run(runner.wait(run.pk, 30))
    assert not Session.objects.exists()
    assert not Message.objects.exists()
    assert not AgentRun.objects.exists()


def test_server_that_stops_interrupts_its_runs(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_closed", threading.Event())

    @asynccontextmanager
    async def text_has_come() -> Any:
        watcher = streaming.run_events(run.pk)
        await anext(watcher)
        yield
        await watcher.aclose()

    async def stop_server() -> None:
        script.say("Good ")
        await in_database(runner.submit, run)
        async with text_has_come():
            await runner.quit_all()

    asyncio.run(stop_server())
    run.refresh_from_db()
    assert run.status == AgentRun.Status.INTERRUPTED
    assert run.text == "Good "
    assert run.can_be_retried


def test_watching_a_run_of_another_process(run: AgentRun) -> None:
    """Nothing in memory here: the row alone tells."""

    async def watch() -> list[str]:
        watcher = asyncio.create_task(frames(run))
        elsewhere = AgentRun(pk=run.pk)
        await in_database(elsewhere.keep_alive, "Good day")
        await in_database(elsewhere.finish, AgentRun.Status.FAILED, error="The model is busy.")
        return await watcher

    seen = asyncio.run(watch())
    assert '"status": "failed"' in seen[-1]
    assert "The model is busy." in seen[-1]


def test_run_of_a_dead_process_is_interrupted_for_its_watchers(run: AgentRun) -> None:
    AgentRun(pk=run.pk).keep_alive("Good ")
    silent = timezone.now() - AgentRun.objects.all().SILENCE * 2
    AgentRun.objects.filter(pk=run.pk).update(heartbeat_at=silent)
    seen = asyncio.run(frames(run))
    assert '"Good "' in seen[0]
    assert '"status": "interrupted"' in seen[-1]
    run.refresh_from_db()
    assert run.text == "Good "
