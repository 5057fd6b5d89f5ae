"""Limits of runs per process and per user: who waits, and who passes."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from pytest_django import Settings

from agents_app.models import AgentRun
from agents_app.runs.concurrency import Slots


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> None:
    settings.AGENT_RUNS_PER_PROCESS = 3
    settings.AGENT_RUNS_PER_USER = 2


def admitted(*users: int) -> list[int]:
    """Whose runs are admitted, of these users' that arrive in this order, until all wait."""

    async def arrive() -> list[int]:
        slots, let_in = Slots(), []
        async with AsyncExitStack() as stack:

            async def enter(user: int) -> None:
                async with slots.slot(user):
                    let_in.append(user)
                    await asyncio.Event().wait()

            tasks = [asyncio.create_task(enter(user)) for user in users]
            stack.callback(lambda: [task.cancel() for task in tasks])
            for _ in users:
                await asyncio.sleep(0)  # the next step of every task
        return let_in

    return asyncio.run(arrive())


def test_process_does_not_exceed_its_limit() -> None:
    assert admitted(1, 2, 3, 4) == [1, 2, 3]


def test_run_beyond_its_users_limit_lets_others_pass() -> None:
    assert admitted(1, 1, 1, 2) == [1, 1, 2]


def test_waiting_runs_are_admitted_in_order_of_arrival(settings: Settings) -> None:
    settings.AGENT_RUNS_PER_PROCESS = 1

    async def arrive() -> list[int]:
        slots, let_in = Slots(), []

        async def work(user: int) -> None:
            async with slots.slot(user):
                let_in.append(user)

        async with asyncio.timeout(30):
            await asyncio.gather(*(work(user) for user in (3, 1, 2)))
        return let_in

    assert asyncio.run(arrive()) == [3, 1, 2]


def test_waiting_run_that_is_cancelled_leaves_the_line(settings: Settings) -> None:
    settings.AGENT_RUNS_PER_PROCESS = 1

    async def arrive() -> None:
        slots = Slots()
        async with slots.slot(1):
            waiting = asyncio.create_task(slots.slot(2).__aenter__())
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        async with asyncio.timeout(30), slots.slot(3):
            pass

    asyncio.run(arrive())


@pytest.mark.django_db
def test_place_in_line(run: AgentRun) -> None:
    assert AgentRun.objects.queue_position(run.pk) == 0
    AgentRun.objects.update(status=AgentRun.Status.RUNNING)
    assert AgentRun.objects.queue_position(run.pk) is None
