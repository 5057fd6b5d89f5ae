"""Fixtures for the chat pages over HTTP; no worker answers."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

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
