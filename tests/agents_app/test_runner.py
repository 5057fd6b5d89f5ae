"""Runs in the background: what becomes of them, whoever watches, stops or leaves."""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.backends.signals import connection_created
from django.utils import timezone
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.usage import RunUsage
from pytest_django import Settings

from agents_app import database, live, liveness, runner, services, streaming
from agents_app.agents import AgentFailed, Finished, SimpleAgent
from agents_app.database import in_database
from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from tests.concurrency.helpers import held_transaction

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
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good day")]
    answer = Message.objects.get(role="assistant")
    assert (answer.user, answer.agent) == (ana, run.agent)
    assert (run.text, run.error) == ("", "")


def test_history_is_what_was_said_before(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good day")
    script.end()
    runner.submit(run.pk)
    wait_for(run)
    second, _ = services.send_message(
        user=ana, session_id=run.session_id, text="And now?", message_id=uuid.uuid4()
    )
    script.forget()
    script.say("Now")
    script.end()
    runner.submit(second.pk)
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
        await in_database(runner.submit, run.pk)
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
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert (run.text, run.error) == ("Good ", "The model is busy.")
    assert transcript(run) == [("user", "Hello")]

    again = services.retry_run(user=ana, run_id=run.pk)
    script.forget()
    script.say("Better")
    script.end()
    runner.submit(again.pk)
    assert wait_for(again).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Better")]
    assert Session.objects.count() == 1


def test_bug_in_an_agent_ends_its_run(
    run: AgentRun, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.say(RuntimeError("a bug"))
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert "a bug" not in run.error
    assert "a bug" in caplog.text


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "from another"])
def test_stop_keeps_what_came(run: AgentRun, script: Script, ana: User, here: bool) -> None:
    script.say("Good ")
    runner.submit(run.pk)
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
        await in_database(runner.submit, run.pk)
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
            await in_database(runner.submit, run.pk)
        watcher = streaming.run_events(run.pk)
        script.end()
        monkeypatch.setattr(database, "PATIENCE_SECONDS", 0)
        monkeypatch.setattr(database, "in_database", gone)
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

    monkeypatch.setattr(runner, "in_database_at_last", slow)
    script.say("Everything that was seen", *ending)
    script.end()
    runner.submit(run.pk)
    assert recording.wait(30)
    for _ in ("here", "in another tab"):
        services.stop_run(user=ana, run_id=run.pk)
        runner.stopped(run.pk)
    go_on.set()
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert transcript(run) == [("user", "Hello"), ("assistant", "Everything that was seen")]


def presume_dead(run: AgentRun) -> None:
    """As a process does that has heard nothing of this one for long."""
    silent = timezone.now() - timedelta(minutes=5)
    values = {"status": "interrupted", "finished_at": silent, "error": "The server stopped."}
    assert AgentRun.objects.active().filter(pk=run.pk).update(heartbeat_at=silent, **values)


def test_run_that_was_presumed_dead_goes_on(run: AgentRun, script: Script) -> None:
    """As when the network was away: the worker is alive, and its verdict is taken back."""
    script.say("Still ")
    runner.submit(run.pk)
    asyncio.run(first_frame(run))
    presume_dead(run)
    while not AgentRun.objects.filter(pk=run.pk, status="running", finished_at=None).exists():
        assert not script.closed.is_set(), "nobody tells the model to stop"
    script.say("here")
    script.end()
    assert wait_for(run).status == AgentRun.Status.DONE
    assert (run.text, run.error) == ("", "")
    assert transcript(run) == [("user", "Hello"), ("assistant", "Still here")]


def test_answer_of_a_run_that_was_presumed_dead_is_stored(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the verdict comes only when the answer is complete."""

    async def late(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if script.closed.is_set():
            await in_database(presume_dead, run)
        return await in_database(work, *args, **options)

    monkeypatch.setattr(runner, "in_database_at_last", late)
    script.say("Still here")
    script.end()
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Still here")]


def test_run_that_was_presumed_dead_does_not_go_on_beside_its_successor(
    run: AgentRun, script: Script, ana: User
) -> None:
    script.say("Still ")
    runner.submit(run.pk)
    asyncio.run(first_frame(run))
    with transaction.atomic():
        presume_dead(run)
        again = services.retry_run(user=ana, run_id=run.pk)
    assert script.closed.wait(30), "the model is told to stop"
    assert wait_for(run).status == AgentRun.Status.INTERRUPTED
    assert run.text == "Still "
    assert transcript(run) == [("user", "Hello")]
    assert AgentRun.objects.active().get() == again


@pytest.mark.parametrize("ending", ["done", "stopped", "failed"])
def test_commit_of_which_nobody_was_told_is_not_repeated(
    run: AgentRun, script: Script, ana: User, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The connection breaks after the commit, before its answer: everything is tried again."""
    tries: list[str] = []

    async def untold(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = await in_database(work, *args, **options)
        name = getattr(work, "__name__", "")
        tries.append(name)
        if script.closed.is_set() and tries.count(name) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return result

    monkeypatch.setattr(database, "in_database", untold)
    script.say("Good day", *([AgentFailed("busy")] if ending == "failed" else []))
    runner.submit(run.pk)
    if ending == "stopped":
        asyncio.run(first_frame(run))
        services.stop_run(user=ana, run_id=run.pk)
    else:
        script.end()
    assert wait_for(run).status == ending
    stored = [("user", "Hello"), ("assistant", "Good day")]
    assert transcript(run) == (stored[:1] if ending == "failed" else stored)
    assert (run.text, run.error) == (("Good day", "busy") if ending == "failed" else ("", ""))
    assert max(map(tries.count, tries)) > 1


def test_end_that_cannot_be_stored_for_long_is_a_failure_that_keeps_its_text(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0)

    async def away(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if work.__name__ == "_store_answer":
            raise OperationalError("away")
        return await in_database(work, *args, **options)

    monkeypatch.setattr(database, "in_database", away)
    script.say("Good day")
    script.end()
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert (run.text, run.error) == ("Good day", "The answer could not be stored.")
    assert run.can_be_retried


def test_stop_before_anything_came(run: AgentRun, script: Script, ana: User) -> None:
    services.stop_run(user=ana, run_id=run.pk)
    runner.submit(run.pk)
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert not script.started.is_set() or script.closed.wait(30), "the model is told to stop"
    assert transcript(run) == [("user", "Hello")]


def test_chat_deleted_meanwhile_stays_deleted(run: AgentRun, script: Script, ana: User) -> None:
    runner.submit(run.pk)
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
        await in_database(runner.submit, run.pk)
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
        await in_database(AgentRun.objects.keep_alive, [run.pk], {run.pk: "Good day"})
        await in_database(elsewhere.finish, AgentRun.Status.FAILED, error="The model is busy.")
        return await watcher

    seen = asyncio.run(watch())
    assert '"status": "failed"' in seen[-1]
    assert "The model is busy." in seen[-1]


def test_run_of_a_dead_process_is_interrupted_for_its_watchers(
    run: AgentRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AGENT_HEARTBEAT_TIMEOUT = 1
    monkeypatch.setattr(liveness, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(liveness, "SAVE_SECONDS", 0.1)
    AgentRun.objects.keep_alive([run.pk], {run.pk: "Good "})
    seen = asyncio.run(frames(run))
    assert '"Good "' in seen[0]
    assert '"status": "interrupted"' in seen[-1]
    assert "The server stopped while it was answering." in seen[-1]
    run.refresh_from_db()
    assert run.text == "Good "


def test_database_that_was_frozen_makes_nobody_presumed_dead(
    run: AgentRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers after a while as if nothing had been, when all heartbeats are old."""
    settings.AGENT_HEARTBEAT_TIMEOUT = 1
    monkeypatch.setattr(liveness, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(liveness, "SAVE_SECONDS", 0.1)
    froze, asked = threading.Event(), threading.Event()

    def freeze(execute: Any, sql: str, *rest: Any) -> Any:
        if asked.is_set() and not froze.is_set() and '"heartbeat_at" <' in sql:
            froze.set()
            time.sleep(1.5)  # not for anything to happen: this is the outage
        return execute(sql, *rest)

    def on_every_connection(connection: Any, **_: object) -> None:
        connection.execute_wrappers.append(freeze)

    connection_created.connect(on_every_connection)
    try:
        liveness.start()
        lively_until = time.monotonic() + 2  # so that this process trusts in others' silence
        while time.monotonic() < lively_until:
            AgentRun.objects.keep_alive([run.pk], {})
            time.sleep(0.2)  # between two heartbeats
        asked.set()
        assert froze.wait(30)
        returned_at = time.monotonic() + 1.5
        while time.monotonic() < returned_at + 0.5:
            assert AgentRun.objects.get().is_active
    finally:
        connection_created.disconnect(on_every_connection)


def test_all_runs_end_side_by_side(
    run: AgentRun, script: Script, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many cannot be ended in time: the server does not wait for one after the other."""
    monkeypatch.setattr(live, "_closed", threading.Event())
    monkeypatch.setattr(runner, "_QUIT_SECONDS", 1)
    assert run.agent
    others = [
        services.start_session(
            user=ana, agent_id=run.agent.pk, text="Hello", message_id=uuid.uuid4()
        )[0]
        for _ in range(5)
    ]
    runs = [run, *others]
    script.say("Good ")
    for one in runs:
        runner.submit(one.pk)
        asyncio.run(first_frame(one))
    lock = AgentRun.objects.select_for_update().order_by("pk")
    with held_transaction(lambda: list(lock)) as commit:
        started = time.monotonic()
        asyncio.run(runner.quit_all())
        took = time.monotonic() - started
        commit()
    assert 1 <= took < len(runs) / 2
    assert {wait_for(one).status for one in runs} == {AgentRun.Status.INTERRUPTED}
    assert {one.text for one in runs} == {"Good "}
