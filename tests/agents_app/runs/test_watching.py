"""Watchers of runs that another process works on."""

import asyncio
import uuid
from collections.abc import AsyncGenerator

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from agents_app import services
from agents_app.models import AgentRun
from agents_app.runs import storage, watching
from agents_app.runs.db_threads import run_in_db_thread
from agents_app.web import events
from sessions_app.models import Message

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


def test_ends_are_read_in_two_queries(
    run: AgentRun, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    answer_as_another_process(run, "Good day")
    with django_assert_num_queries(2):  # the runs with their questions, and the answers
        outcome = watching._read_outcomes([run.pk])[run.pk]
        assert outcome.run.message.text_content == "Hello"
        assert [(row.text_content, row.agent) for row in outcome.rows] == [("Good day", run.agent)]
