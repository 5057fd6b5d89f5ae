"""People, agents and chats for the tests of the chat pages."""

import uuid
from typing import Any

from django.contrib.auth.models import User

from agents_app.models import Agent, AgentRun
from agents_app.services import start_session
from sessions_app.models import Session
from tests.factories import say


def make_user(name: str = "ana", **values: Any) -> User:
    return User.objects.create_user(name, password="secret-enough-1", **values)


def make_agent(name: str = "simple", **values: Any) -> Agent:
    agent, _ = Agent.objects.update_or_create(name=name, defaults=values)
    return agent


def ask(user: User, text: str = "Hello", *, agent: Agent | None = None) -> AgentRun:
    """A new chat of the person, whose first answer nobody is working on yet."""
    agent = agent or make_agent()
    run = start_session(user=user, agent_id=agent.pk, text=text, message_id=uuid.uuid4())
    return run


def answered(user: User, text: str = "Hello", answer: str = "Hi!") -> Session:
    """A chat of the person with one finished turn."""
    run = ask(user, text)
    say(run.session, answer, role="assistant", agent=run.agent, user=user)
    run.finish(AgentRun.Status.DONE)
    return run.session


def failed(user: User, text: str = "Hello", error: str = "The model did not answer.") -> AgentRun:
    run = ask(user, text)
    run.finish(AgentRun.Status.FAILED, text="As far as it", error=error)
    return run
