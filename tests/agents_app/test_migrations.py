"""The agent that the migrations make."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from agents_app.models import Agent

pytestmark = pytest.mark.django_db


def make_simple_agent() -> None:
    import_module("agents_app.migrations.0002_simple_agent").make_simple_agent(
        apps, connection.schema_editor()
    )


def test_simple_agent_runs_on_the_default_model() -> None:
    Agent.objects.all().delete()

    make_simple_agent()

    agent = Agent.objects.get()
    assert (agent.name, agent.type, agent.model, agent.active) == ("simple", "simple", "", True)
    assert agent.description
    assert agent.system_prompt


def test_simple_agent_that_exists_is_left_as_it_is() -> None:
    Agent.objects.all().delete()
    Agent.objects.create(name="simple", model="openai:gpt-4.1-mini", description="ours")
    before = Agent.objects.values().get()

    make_simple_agent()

    assert Agent.objects.values().get() == before
