"""Runs in the background: what becomes of them, whoever watches, stops or leaves."""

import asyncio
import threading
import time
import uuid
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pydantic_ai.messages import TextPart, UserPromptPart

from agents_app import database, live, runner, services, streaming
from agents_app.agents import AgentFailed
from agents_app.database import in_database
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.scripts import Script, first_frame, frames, transcript, wait_for
from tests.concurrency.helpers import held_transaction

pytestmark = pytest.mark.django_db(transaction=True)


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
