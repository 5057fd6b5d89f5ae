"""Ends that are hard to record, and processes that are wrongly presumed dead."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.db.backends.signals import connection_created
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings

from agents_app import services
from agents_app.agents import AgentFailed
from agents_app.models import AgentRun, WorkerProcess
from agents_app.querysets import Progress
from agents_app.runs import db_threads, dispatch, liveness, run_worker, saver
from agents_app.runs.db_threads import run_in_db_thread
from tests.agents_app.scripts import (
    Script,
    first_frame,
    frames,
    transcript,
    wait_for,
    worker_has_left,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("ending", [[], [AgentFailed("busy")]], ids=["an answer", "a failure"])
def test_stop_while_the_end_is_recorded(
    run: AgentRun,
    script: Script,
    ana: User,
    monkeypatch: pytest.MonkeyPatch,
    ending: list[Exception],
) -> None:
    """Stop, even pressed twice, may interrupt the model, but not the storing of its answer."""
    recording, go_on = threading.Event(), threading.Event()

    async def slow(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if script.closed.is_set():
            recording.set()
            await asyncio.to_thread(go_on.wait, 30)
        return await run_in_db_thread(work, *args, **options)

    monkeypatch.setattr(run_worker, "store_in_db_thread", slow)
    script.say("Everything that was seen", *ending)
    script.end()
    dispatch.submit(run.pk, run.user_id)
    assert recording.wait(30)
    for _ in ("here", "in another tab"):
        services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    go_on.set()
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert transcript(run) == [("user", "Hello"), ("assistant", "Everything that was seen")]


def presume_dead(run: AgentRun) -> None:
    """As another process does when this one's heartbeat has expired."""
    silent = timezone.now() - timedelta(minutes=5)
    values = {"status": "interrupted", "finished_at": silent, "error": "The server stopped."}
    assert AgentRun.objects.active().filter(pk=run.pk).update(heartbeat_at=silent, **values)


def test_run_that_was_presumed_dead_continues(run: AgentRun, script: Script) -> None:
    """As after a network outage: the worker is alive, and its run is running again."""
    script.say("Still ")
    dispatch.submit(run.pk, run.user_id)
    asyncio.run(first_frame(run))
    presume_dead(run)
    while not AgentRun.objects.filter(pk=run.pk, status="running", finished_at=None).exists():
        assert not script.closed.is_set(), "the model is not cancelled"
    script.say("here")
    script.end()
    assert wait_for(run).status == AgentRun.Status.DONE
    assert (run.text, run.error) == ("", "")
    assert transcript(run) == [("user", "Hello"), ("assistant", "Still here")]


def test_answer_of_a_run_that_was_presumed_dead_is_stored(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when its process is presumed dead after the answer is complete."""

    async def late(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if script.closed.is_set():
            await run_in_db_thread(presume_dead, run)
        return await run_in_db_thread(work, *args, **options)

    monkeypatch.setattr(run_worker, "store_in_db_thread", late)
    script.say("Still here")
    script.end()
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.DONE
    assert transcript(run) == [("user", "Hello"), ("assistant", "Still here")]


def test_run_that_was_presumed_dead_does_not_continue_alongside_its_successor(
    run: AgentRun, script: Script, ana: User
) -> None:
    script.say("Still ")
    dispatch.submit(run.pk, run.user_id)
    asyncio.run(first_frame(run))
    saver.stop()  # so that it learns of both at once
    presume_dead(run)
    again = services.retry_run(user=ana, session_id=run.session_id, run_id=run.pk)
    saver.add(dispatch._workers[run.pk])
    assert script.closed.wait(30), "the model is cancelled"
    assert wait_for(run).status == AgentRun.Status.INTERRUPTED
    assert run.text == "Still "
    assert transcript(run) == [("user", "Hello")]
    assert AgentRun.objects.active().get() == again


def test_process_that_claims_its_own_run_again_starts_over(run: AgentRun, script: Script) -> None:
    """It was frozen, so that others have requeued the run, and is the first to fetch it."""

    async def claim_twice() -> None:
        first = asyncio.create_task(dispatch.work_on(run.pk))
        assert await asyncio.to_thread(script.started.wait, 30)
        second = asyncio.create_task(dispatch.work_on(run.pk))
        async with asyncio.timeout(30):
            await first
        script.say("Good ")
        assert "Good" in await first_frame(run)
        assert await run_in_db_thread(AgentRun(pk=run.pk).finish, AgentRun.Status.STOPPED)
        async with asyncio.timeout(30):
            await second

    dispatch.run_in_loop(claim_twice())
    assert wait_for(run).status == AgentRun.Status.STOPPED
    assert transcript(run) == [("user", "Hello"), ("assistant", "Good ")]


@pytest.mark.parametrize("ending", ["done", "stopped", "failed"])
def test_unacknowledged_commit_is_not_repeated(
    run: AgentRun, script: Script, ana: User, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """The connection breaks after the commit and before its acknowledgement: all is retried."""
    tries: list[str] = []

    async def unacknowledged(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        result = await run_in_db_thread(work, *args, **options)
        name = getattr(work, "__name__", "")
        tries.append(name)
        if script.closed.is_set() and tries.count(name) == 1:
            raise OperationalError("server closed the connection unexpectedly")
        return result

    monkeypatch.setattr(db_threads, "run_in_db_thread", unacknowledged)
    script.say("Good day", *([AgentFailed("busy")] if ending == "failed" else []))
    dispatch.submit(run.pk, run.user_id)
    if ending == "stopped":
        asyncio.run(first_frame(run))
        services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    else:
        script.end()
    assert wait_for(run).status == ending
    stored = [("user", "Hello"), ("assistant", "Good day")]
    assert transcript(run) == (stored[:1] if ending == "failed" else stored)
    assert (run.text, run.error) == (("Good day", "busy") if ending == "failed" else ("", ""))
    assert max(map(tries.count, tries)) > 1


@pytest.mark.parametrize("ending", ["done", "failed", "stopped"])
def test_end_is_stored_however_long_the_database_was_unavailable(
    run: AgentRun, script: Script, ana: User, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setattr(db_threads, "RETRY_TIMEOUT", 0)
    monkeypatch.setattr(db_threads, "RETRY_INTERVAL", 0.01)
    tries_left = 5

    async def unavailable(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        nonlocal tries_left
        if script.closed.is_set() and tries_left:
            tries_left -= 1
            raise OperationalError("unavailable")
        return await run_in_db_thread(work, *args, **options)

    monkeypatch.setattr(db_threads, "run_in_db_thread", unavailable)
    script.say("Good day", *([AgentFailed("busy")] if ending == "failed" else []))
    dispatch.submit(run.pk, run.user_id)
    if ending == "stopped":
        asyncio.run(first_frame(run))
        services.stop_run(user=ana, session_id=run.session_id, run_id=run.pk)
    script.end()
    asyncio.run(worker_has_left(run))
    run.refresh_from_db()
    assert (run.status, run.error) == (ending, "busy" if ending == "failed" else "")
    stored = [("user", "Hello"), ("assistant", "Good day")]
    assert transcript(run) == (stored[:1] if ending == "failed" else stored)
    assert run.text == ("Good day" if ending == "failed" else "")


def test_answer_that_the_database_refuses_is_a_failure_that_keeps_its_text(
    run: AgentRun, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if work.__name__ == "store_answer":
            raise OperationalError("too many SQL variables")
        return await run_in_db_thread(work, *args, **options)

    monkeypatch.setattr(db_threads, "run_in_db_thread", refuse)
    script.say("Good day")
    script.end()
    dispatch.submit(run.pk, run.user_id)
    assert wait_for(run).status == AgentRun.Status.FAILED
    assert (run.text, run.error) == ("Good day", "The answer could not be stored. Try again.")
    assert run.has_failed


def dead_process(run: AgentRun) -> WorkerProcess:
    """Another process that works on the run, and has just given its last heartbeat."""
    process = WorkerProcess.objects.create(host="elsewhere", pid=1, heartbeat_at=Now())
    AgentRun.objects.filter(pk=run.pk).update(process_id=process.pk)
    return process


def test_run_of_a_dead_process_is_interrupted_for_its_watchers(
    run: AgentRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AGENT_HEARTBEAT_TIMEOUT = 1
    monkeypatch.setattr(liveness, "_HEARTBEAT_INTERVAL", 0.1)
    dead_process(run)
    AgentRun.objects.save_progress([Progress(run.pk, 0, "Good ")])
    liveness.start()
    seen = asyncio.run(frames(run))
    assert "Good" in seen[0]
    assert '"status":"interrupted"' in seen[-1]
    assert "The server stopped while it was answering." in seen[-1]
    run.refresh_from_db()
    assert run.text == "Good "


def test_quiet_run_is_alive_as_long_as_its_process(run: AgentRun, settings: Settings) -> None:
    settings.AGENT_HEARTBEAT_TIMEOUT = 15
    process = dead_process(run)
    long_ago = timezone.now() - timedelta(minutes=5)
    AgentRun.objects.update(heartbeat_at=long_ago)
    assert not AgentRun.objects.presumed_dead()
    WorkerProcess.objects.update(heartbeat_at=long_ago)
    assert AgentRun.objects.presumed_dead().get() == run
    process.delete()
    assert AgentRun.objects.presumed_dead().get() == run


def test_frozen_database_makes_nobody_presumed_dead(
    run: AgentRun, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers after a while as if nothing had happened, when all heartbeats are old."""
    settings.AGENT_HEARTBEAT_TIMEOUT = 1
    monkeypatch.setattr(liveness, "_HEARTBEAT_INTERVAL", 0.1)
    froze, asked = threading.Event(), threading.Event()

    def freeze(execute: Any, sql: str, *rest: Any) -> Any:
        if asked.is_set() and not froze.is_set() and '"heartbeat_at" <' in sql:
            froze.set()
            time.sleep(1.5)  # not for anything to happen: this is the outage
        return execute(sql, *rest)

    def on_every_connection(connection: Any, **_: object) -> None:
        connection.execute_wrappers.append(freeze)

    liveness.stop()
    process = dead_process(run)
    connection_created.connect(on_every_connection)
    try:
        liveness.start()
        lively_until = time.monotonic() + 2  # so that this process may presume others dead
        while time.monotonic() < lively_until:
            WorkerProcess.objects.filter(pk=process.pk).update(heartbeat_at=Now())
            time.sleep(0.2)  # between two heartbeats
        asked.set()
        assert froze.wait(30)
        returned_at = time.monotonic() + 1.5
        while time.monotonic() < returned_at + 0.5:
            assert AgentRun.objects.get().is_active
    finally:
        connection_created.disconnect(on_every_connection)
