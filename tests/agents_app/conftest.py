"""Fixtures for the tests of agents and runs."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents_app import services
from agents_app.agents import RunResult, SimpleAgent
from agents_app.models import Agent, AgentRun
from tests.agents_app.scripts import Script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Script]:
    script = Script()

    async def answer(agent: SimpleAgent, prompt: str, **options: Any) -> RunResult:
        return await script.answer(agent, prompt, **options)

    monkeypatch.setattr(SimpleAgent, "answer", answer)
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
    )
