"""Runs in the background: how they end, whoever watches, stops or leaves."""

import asyncio
import math
import time
import uuid
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from pydantic_ai.messages import TextPart, UserPromptPart
from pytest_django import Settings

from agents_app import services
from agents_app.agents import AgentFailed, SimpleAgent
from agents_app.chats import trash
from agents_app.models import Agent, AgentRun, WorkerProcess
from agents_app.querysets import Progress
from agents_app.runs import db_threads, dispatch, liveness, storage, watching
from agents_app.runs.db_threads import run_in_db_thread
from agents_app.web import events
from sessions_app.models import Message, Session
from tests.agents_app.scripts import (
    Script,
    first_frame,
    frames,
    transcript,
    wait_for,
    worker_has_left,
)
from tests.concurrency.helpers import held_transaction, wait_until

NEXT_IN_LINE = 'event: waiting\ndata: {"html":"","place":0}\n\n'

pytestmark = pytest.mark.django_db(transaction=True)


def test_use_case_starts_the_answer(
    ana: User, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "dispatch", dispatch)
    agent = Agent.objects.get_or_create(name="simple")[0]
    script.say("Good day")
    script.end()
    run = services.start_session(user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4())
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good day")]


def test_answer_is_stored_with_the_end_of_its_run(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good ", "day")
    script.end()
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good day")]
    answer = Message.objects.get(role="assistant")
    assert (answer.user, answer.agent) == (ana, run.agent)
    assert (run.text, run.error) == ("", "")


def test_the_age_of_unsaved_text_is_recorded_with_the_heartbeat(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "_HEARTBEAT_INTERVAL", 0.05)
    script.say("Good ")
    dispatch.submit(run.pk, run.user_id)
    own = WorkerProcess.objects.filter(pk=liveness.process_id())
    wait_until(lambda: own.filter(save_lag__gt=0).exists(), lambda: script.say("and more "))
    script.end()
    wait_for(run)
    wait_until(lambda: own.filter(save_lag=0).exists())


def test_history_is_what_was_said_before(run: AgentRun, script: Script, ana: User) -> None:
    script.say("Good day")
    script.end()
    dispatch.submit(run.pk, run.user_id)
    wait_for(run)
    second = services.send_message(
        user=ana, session_id=run.session_id, text="And now?", message_id=uuid.uuid4()
    )
    script.forget()
    script.say("Now")
    script.end()
    dispatch.submit(second.pk, second.user_id)
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
        await run_in_db_thread(dispatch.submit, run.pk, run.user_id)
        first = events.run_events(run.pk)
        script.say("Good ")
        assert "Good" in (await anext(first)).decode()
        await first.aclose()
        second = events.run_events(run.pk)
        assert "Good" in (await anext(second)).decode(), "it is sent what has come before"
        script.say("day")
        script.end()
        rest = [frame.decode() async for frame in second]
        assert " day" in rest[0]
        assert rest[-1].startswith("event: end")
        assert '"status":"done"' in rest[-1]

    asyncio.run(watch())
    assert wait_for(run).status == AgentRun.Status.DONE


def test_reasoning_is_streamed_before_the_text_and_is_no_part_of_it(
    run: AgentRun, script: Script
) -> None:
    async def watch() -> None:
        await run_in_db_thread(dispatch.submit, run.pk, run.user_id)
        first = events.run_events(run.pk)
        script.think("\n<b>First ")
        begun = (await anext(first)).decode()
        assert begun.startswith("event: reasoning")
        assert '<details class=\\"reasoning\\">' in begun
        assert begun.endswith('>&lt;b&gt;First "}\n\n')
        script.think("I <wonder.")
        assert await anext(first) == b'event: reasoning\ndata: {"html":"I &lt;wonder."}\n\n'
        second = events.run_events(run.pk)
        assert b"First I &lt;wonder." in await anext(second), "it is sent what has come before"
        script.say("Good day")
        for watcher in (first, second):
            assert (await anext(watcher)).startswith(b"event: text")
            await watcher.aclose()
        script.end()

    asyncio.run(watch())
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good day")]
    assert run.text == ""


def test_failure_keeps_the_text_so_far_but_not_as_a_message(
    run: AgentRun, script: Script, ana: User
) -> None:
    script.say("Good ", AgentFailed("The model is busy."))
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert (run.text, run.error) == ("Good ", "The model is busy.")
    assert transcript(run) == [("user", "Hello")]

    again = services.retry_run(user=ana, session_id=run.session_id, run_id=run.pk)
    script.forget()
    script.say("Better")
    script.end()
    dispatch.submit(again.pk, again.user_id)
    assert wait_for(again).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Better")]
    assert Session.objects.count() == 1


def test_bug_in_an_agent_ends_its_run(
    run: AgentRun, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    script.say(RuntimeError("a bug"))
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert "a bug" not in run.error
    assert "a bug" in caplog.text


def test_answer_that_was_cancelled_from_outside_is_interrupted(
    run: AgentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the event loop is closed, or a library cancels the wrong task."""

    async def cancelled(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(SimpleAgent, "answer", cancelled)
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.INTERRUPTED


@pytest.mark.parametrize("here", [True, False], ids=["in this process", "from another"])
def test_stop_keeps_the_text_so_far(run: AgentRun, script: Script, ana: User, here: bool) -> None:
    script.say("Good ")
    dispatch.submit(run.pk, run.user_id)
    asyncio.run(first_frame(run))
    if here:
        assert services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    else:
        assert AgentRun(pk=run.pk).finish(AgentRun.Status.STOPPED)
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert script.closed.wait(30), "the model is cancelled"
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good ")]
    assert services.send_message(
        user=ana, session_id=run.session_id, text="Go on", message_id=uuid.uuid4()
    )


def test_silence_is_filled(run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies end connections on which nothing comes."""
    monkeypatch.setattr(events, "QUIET_SECONDS", 0.01)

    async def watch() -> list[str]:
        await run_in_db_thread(dispatch.submit, run.pk, run.user_id)
        # Until then it waits for its turn, and watchers are sent that.
        assert await asyncio.to_thread(script.started.wait, 30)
        seen: list[str] = []
        async for frame in events.run_events(run.pk):
            if not seen:
                script.say("At last")
                script.end()
            seen.append(frame.decode())
        return seen

    seen = asyncio.run(watch())
    assert seen[0] == ": keep-alive\n\n"
    assert any("At last" in frame for frame in seen[1:])
    assert wait_for(run).status == AgentRun.Status.DONE


def test_watcher_learns_that_the_database_is_gone(
    run: AgentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response has begun, with status 200; it must not just break off."""

    async def gone(*_: object) -> None:
        raise OperationalError("gone")

    def gone_at_once(*_: object) -> None:
        raise OperationalError("gone")

    async def watch() -> None:
        monkeypatch.setattr(db_threads, "RETRY_TIMEOUT", 0)
        monkeypatch.setattr(watching._RemoteReader, "_read", gone_at_once)
        monkeypatch.setattr(db_threads, "run_in_db_thread", gone)
        watcher = events.run_events(run.pk)
        assert await anext(watcher) == b'event: end\ndata: {"status":"failed","html":""}\n\n'
        with pytest.raises(OperationalError):
            await anext(watcher)

    asyncio.run(watch())


def test_run_beyond_its_users_limit_waits_and_says_so(
    run: AgentRun,
    script: Script,
    ana: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.AGENT_RUNS_PER_USER = 1
    assert run.agent
    second = services.start_session(
        user=ana, agent_id=run.agent.pk, text="Hello", message_id=uuid.uuid4()
    )
    script.say("Good day")
    dispatch.submit(run.pk, ana.pk)
    assert "Good day" in asyncio.run(first_frame(run))
    dispatch.submit(second.pk, ana.pk)
    monkeypatch.setattr(events, "QUIET_SECONDS", math.inf)
    assert asyncio.run(first_frame(second)) == NEXT_IN_LINE
    script.end()
    assert [wait_for(one).status for one in (run, second)] == ["done", "done"]


def test_run_of_another_process_that_waits_says_so(
    run: AgentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "QUIET_SECONDS", math.inf)
    assert asyncio.run(first_frame(run)) == NEXT_IN_LINE


def test_run_that_need_not_wait_does_not_query_its_position(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[UUID] = []
    monkeypatch.setattr(AgentRun.objects, "queue_position", asked.append)

    async def watch() -> list[str]:
        await run_in_db_thread(dispatch.submit, run.pk, run.user_id)
        assert await asyncio.to_thread(script.started.wait, 30)
        script.say("Good day")
        script.end()
        return await frames(run)

    assert "Good day" in asyncio.run(watch())[0]
    assert asked == []


def test_run_that_is_stopped_while_it_waits_ends_immediately(
    run: AgentRun, script: Script, ana: User, settings: Settings
) -> None:
    settings.AGENT_RUNS_PER_USER = 1
    assert run.agent
    second = services.start_session(
        user=ana, agent_id=run.agent.pk, text="Hello", message_id=uuid.uuid4()
    )
    dispatch.submit(run.pk, ana.pk)
    assert script.started.wait(30)
    dispatch.submit(second.pk, ana.pk)
    services.stop_run(user=ana, session_id=second.session_id, run_id=second.pk)
    asyncio.run(worker_has_left(second))
    assert AgentRun.objects.active().get() == run
    script.say("Good day")
    script.end()
    assert wait_for(run).status == AgentRun.Status.DONE


def test_stop_before_the_first_text(run: AgentRun, script: Script, ana: User) -> None:
    services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert not script.started.is_set() or script.closed.wait(30), "the model is cancelled"
    assert transcript(run) == [("user", "Hello")]


def test_deleted_chat_stays_deleted(run: AgentRun, script: Script, ana: User) -> None:
    dispatch.submit(run.pk, run.user_id)
    assert script.started.wait(30)
    trash.trash_session(run.session)
    trash.delete_forever(run.session)
    script.say("Too late")
    script.end()
    asyncio.run(watching.wait(run.pk, 30))
    assert not Session.objects.exists()
    assert not Message.objects.exists()
    assert not AgentRun.objects.exists()


def test_server_that_stops_interrupts_its_runs(
    run: AgentRun, script: Script, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_reader", watching._RemoteReader())
    settings.AGENT_GRACE_SECONDS = 0.1

    @asynccontextmanager
    async def text_has_come() -> Any:
        watcher = events.run_events(run.pk)
        await anext(watcher)
        yield
        await watcher.aclose()

    async def stop_server() -> None:
        script.say("Good ")
        await run_in_db_thread(dispatch.submit, run.pk, run.user_id)
        async with text_has_come():
            await dispatch.shut_down()

    asyncio.run(stop_server())
    run.refresh_from_db()
    assert run.status == AgentRun.Status.INTERRUPTED
    assert run.text == "Good "
    assert run.has_failed


def test_watching_a_run_of_another_process(run: AgentRun) -> None:
    """Nothing is in memory here: everything is read from the row."""

    async def watch() -> list[str]:
        watcher = asyncio.create_task(frames(run))
        elsewhere = AgentRun(pk=run.pk)
        await run_in_db_thread(AgentRun.objects.save_progress, [Progress(run.pk, 0, "Good day")])
        await run_in_db_thread(elsewhere.finish, AgentRun.Status.FAILED, error="The model is busy.")
        return await watcher

    seen = asyncio.run(watch())
    assert '"status":"failed"' in seen[-1]
    assert "The model is busy." in seen[-1]


def test_text_of_another_process_is_sent_once(run: AgentRun) -> None:
    answer = Message(role=Message.Role.ASSISTANT, text_content="Good *day*")

    async def watch() -> list[str]:
        await run_in_db_thread(AgentRun.objects.save_progress, [Progress(run.pk, 0, "Good ")])
        seen: list[str] = []
        async for frame in events.run_events(run.pk):
            if not seen:
                await run_in_db_thread(storage.store_answer, run, 0, [answer])
            seen.append(frame.decode())
        return seen

    first, rest, end = asyncio.run(watch())
    assert "Good" in first
    assert "<em>day</em>" in rest
    assert "Good" not in rest
    assert "data-shown" in end
    assert "day" not in end


def test_all_runs_end_side_by_side(
    run: AgentRun,
    script: Script,
    ana: User,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many cannot end in time, the server does not wait for one after the other."""
    monkeypatch.setattr(watching, "_reader", watching._RemoteReader())
    settings.AGENT_GRACE_SECONDS = 0.1
    monkeypatch.setattr(dispatch, "_SHUTDOWN_TIMEOUT", 1)
    settings.AGENT_RUNS_PER_USER = 6
    assert run.agent
    others = [
        services.start_session(
            user=ana, agent_id=run.agent.pk, text="Hello", message_id=uuid.uuid4()
        )
        for _ in range(5)
    ]
    runs = [run, *others]
    script.say("Good ")
    for one in runs:
        dispatch.submit(one.pk, one.user_id)
        asyncio.run(first_frame(one))
    lock = AgentRun.objects.select_for_update().order_by("pk")
    with held_transaction(lambda: list(lock)) as commit:
        started = time.monotonic()
        asyncio.run(dispatch.shut_down())
        took = time.monotonic() - started
        commit()
    assert 1 <= took < len(runs) / 2
    assert {wait_for(one).status for one in runs} == {AgentRun.Status.INTERRUPTED}
    assert {one.text for one in runs} == {"Good "}
