"""Watchers of runs that another process works on."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from agents_app import services
from agents_app.models import AgentRun
from agents_app.querysets import Progress
from agents_app.runs import storage, watching
from agents_app.runs.db_threads import run_in_db_thread
from agents_app.web import events
from sessions_app.models import Message
from tests.agents_app.scripts import frames
from tests.model_server import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)


def answer_as_another_process(run: AgentRun, text: str) -> None:
    claimed = storage.claim(run.pk)
    assert claimed is not None
    rows = [Message(role=Message.Role.ASSISTANT, text_content=text)]
    assert storage.store_answer(claimed, claimed.attempt, rows)


def test_ends_of_several_come_with_their_text(
    run: AgentRun, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run.agent
    others = [
        services.start_session(user=ana, agent_id=run.agent.pk, text=text, message_id=uuid.uuid4())
        for text in ("And you?", "And now?")
    ]
    runs = [run, *others]
    # What would be read for each of them on its own.
    monkeypatch.setattr(watching, "load_run", None)

    async def end_of(watcher: AsyncGenerator[bytes]) -> str:
        return [frame.decode() async for frame in watcher][-1]

    async def watch() -> list[str]:
        watchers = [asyncio.create_task(end_of(events.run_events(one.pk))) for one in runs]
        for one in runs:
            await run_in_db_thread(answer_as_another_process, one, f"Answer to {one.pk}")
        return await asyncio.gather(*watchers)

    for one, end in zip(runs, asyncio.run(watch()), strict=True):
        assert f"Answer to {one.pk}" in end
        assert '"status":"done"' in end


def test_stopped_run_ends_for_its_watchers_when_its_process_has_stored_the_text(
    run: AgentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns of the stop a moment later, and has generated more than was saved."""
    monkeypatch.setattr(watching, "_STORED_WITHIN", PATIENCE)
    claimed = storage.claim(run.pk)
    assert claimed is not None
    AgentRun.objects.save_progress([Progress(run.pk, claimed.attempt, "Good ")])
    reads = 0
    read = watching._RemoteReader._read

    def counted(*arguments: Any) -> None:
        nonlocal reads
        read(*arguments)
        reads += 1

    monkeypatch.setattr(watching._RemoteReader, "_read", counted)

    async def watch() -> tuple[bool, list[str]]:
        watcher = asyncio.create_task(frames(run))
        await run_in_db_thread(run.finish, AgentRun.Status.STOPPED)
        read_before = reads
        while reads < read_before + 2 and not watcher.done():
            await asyncio.sleep(0.01)
        ended_early = watcher.done()
        store = storage.store_partial_answer
        await run_in_db_thread(store, run.pk, claimed.attempt, "Good day", uuid.uuid4())
        return ended_early, await watcher

    ended_early, seen = asyncio.run(watch())
    assert not ended_early
    assert "day" in "".join(seen)
    assert '"status":"stopped"' in seen[-1]
    assert "/feedback/" in seen[-1], "the answer is a message"


def test_stop_of_a_process_that_has_died_is_shown(
    run: AgentRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_STORED_WITHIN", 0)
    claimed = storage.claim(run.pk)
    assert claimed is not None
    AgentRun.objects.save_progress([Progress(run.pk, claimed.attempt, "Good ")])
    run.finish(AgentRun.Status.STOPPED)
    end = asyncio.run(frames(run))[-1]
    assert '"status":"stopped"' in end
    assert "Good" in end


def test_ends_are_read_in_two_queries(
    run: AgentRun, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    answer_as_another_process(run, "Good day")
    with django_assert_num_queries(2):  # the runs with their questions, and the answers
        outcome = watching._read_outcomes([run.pk])[run.pk]
        assert outcome.run.message.text_content == "Hello"
        assert [(row.text_content, row.agent) for row in outcome.rows] == [("Good day", run.agent)]


def test_a_run_without_its_messages_has_no_outcome(run: AgentRun) -> None:
    """Its turn is read by position instead."""
    answer_as_another_process(run, "Good day")
    Message.objects.filter(run=run).update(run=None)
    assert watching._read_outcomes([run.pk]) == {}
    end = asyncio.run(frames(run))[-1]
    assert "Good day" in end
