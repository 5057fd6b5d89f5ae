"""The rows that the migrations create."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from agents_app.models import Agent, ImportedUser

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


@pytest.mark.django_db(transaction=True)
def test_users_of_earlier_imports_are_marked_unless_somebody_could_log_in_as_them() -> None:
    executor = MigrationExecutor(connection)
    executor.migrate([("agents_app", "0004_newest_runs")])
    try:
        made = {
            User.objects.create_user("+351900"),
            User.objects.create_user("automagik-5", "eva example.org"),
        }
        User.objects.create_user("eva@example.org", "eva@example.org")
        User.objects.create_user("+351901", password="chosen")
        User.objects.create_user("+351902", is_staff=True)
        User.objects.create_user("+351903", last_login=timezone.now())
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(executor.loader.graph.leaf_nodes())

    assert {mark.user for mark in ImportedUser.objects.select_related("user")} == made
