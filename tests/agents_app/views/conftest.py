"""Fixtures for the chat pages over HTTP; the work in the background is cut off at the runner."""

from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app import runner
from agents_app.models import Agent
from tests.agents_app.chats import make_agent, make_user


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def agent() -> Agent:
    return make_agent(description="Everyday questions")


@pytest.fixture
def page(client: Client, user: User, agent: Agent) -> Client:
    client.force_login(user)
    return client


@pytest.fixture(autouse=True)
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs that the views handed to the runner; each is finished at once."""
    runs: list[UUID] = []

    async def wait(run_id: UUID, seconds: float) -> None:
        assert seconds < 60, "proxies give up"

    monkeypatch.setattr(runner, "submit", runs.append)
    monkeypatch.setattr(runner, "wait", wait)
    return runs
