"""The use-cases, called directly: what they refuse, and that nothing is left behind."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from agents_app import services
from agents_app.chats import errors as chat_errors
from agents_app.chats import organizing
from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, make_agent, make_user
from tests.agents_app.web.helpers import rows
from tests.concurrency.helpers import before_statement, elsewhere

pytestmark = pytest.mark.django_db(transaction=True)

NO_MESSAGES = [
    pytest.param("", "Write a message first.", id="empty"),
    pytest.param(" \n\t ", "Write a message first.", id="blank"),
    pytest.param("a\0b", "NUL character", id="NUL"),
    pytest.param("\ud800", "half a character", id="half a character"),
    pytest.param(
        "x" * 1_000_001, "at most 1,000,000 characters; this one has 1,000,001", id="too long"
    ),
]
NO_NAMES = [
    pytest.param("", "A chat needs a name.", id="empty"),
    pytest.param("  ", "A chat needs a name.", id="blank"),
    pytest.param("a\0b", "NUL character", id="NUL"),
    pytest.param("x" * 201, "at most 200 characters", id="too long"),
]


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.mark.parametrize(("text", "complaint"), NO_MESSAGES)
def test_invalid_message_starts_no_chat(
    user: User, agent: Agent, text: str, complaint: str
) -> None:
    with pytest.raises(chat_errors.InvalidMessage, match=complaint):
        services.start_session(user=user, agent_id=agent.pk, text=text, message_id=uuid.uuid4())
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize(("text", "complaint"), NO_MESSAGES)
def test_invalid_message_is_not_stored(user: User, text: str, complaint: str) -> None:
    chat_session = answered(user)
    before = rows()
    with pytest.raises(chat_errors.InvalidMessage, match=complaint):
        services.send_message(
            user=user, session_id=chat_session.pk, text=text, message_id=uuid.uuid4()
        )
    assert rows() == before


@pytest.mark.parametrize(("name", "complaint"), NO_NAMES)
def test_invalid_name_is_not_stored(user: User, name: str, complaint: str) -> None:
    chat_session = answered(user, "Its name")
    with pytest.raises(chat_errors.InvalidName, match=complaint):
        organizing.rename_session(chat_session, name=name)
    assert Session.objects.get().name == "Its name"


def test_first_message_to_another_agent_is_another_message(user: User, agent: Agent) -> None:
    message_id = uuid.uuid4()

    def start(agent: Agent) -> AgentRun:
        return services.start_session(
            user=user, agent_id=agent.pk, text="Hello", message_id=message_id
        )

    first = start(agent)
    with pytest.raises(chat_errors.AlreadyUsed):
        start(make_agent("other"))
    assert start(agent) == first
    assert rows() == (1, 1, 1)


def without_agent(user: User) -> Session:
    chat_session = answered(user)
    Agent.objects.all().delete()
    return reread(chat_session)


def switched_off(user: User) -> Session:
    chat_session = answered(user)
    Agent.objects.update(active=False)
    return reread(chat_session)


def reread(chat_session: Session) -> Session:
    return Session.objects.select_related("agent").get(pk=chat_session.pk)


LACKING = pytest.mark.parametrize("lacking", [without_agent, switched_off])
Lacking = Callable[[User], Session]


def send(user: User, chat_session: Session, **values: Any) -> AgentRun:
    values = {"text": "Go on", "message_id": uuid.uuid4(), **values}
    return services.send_message(user=user, session_id=chat_session.pk, **values)


@LACKING
def test_chat_continues_with_the_chosen_agent(user: User, lacking: Lacking) -> None:
    chat_session = lacking(user)
    with pytest.raises(chat_errors.AgentUnavailable, match="choose"):
        send(user, chat_session)
    chosen = make_agent("chosen")
    message_id = uuid.uuid4()
    run = send(user, chat_session, agent_id=chosen.pk, message_id=message_id)
    assert (run.agent, run.message.agent, reread(chat_session).agent) == (chosen,) * 3
    assert send(user, chat_session, agent_id=chosen.pk, message_id=message_id) == run
    assert send(user, chat_session, message_id=message_id) == run
    run.finish(AgentRun.Status.DONE)
    assert send(user, chat_session).agent == chosen


@LACKING
def test_agent_must_be_one_that_can_be_chosen(user: User, lacking: Lacking) -> None:
    chat_session = lacking(user)
    off = make_agent("off", active=False)
    before = rows()
    for agent_id in (off.pk, 987654):
        with pytest.raises(chat_errors.AgentUnavailable):
            send(user, chat_session, agent_id=agent_id)
    assert rows() == before
    assert reread(chat_session).agent == chat_session.agent


def test_chat_keeps_an_agent_that_is_active(user: User) -> None:
    chat_session = answered(user)
    before = rows()
    with pytest.raises(chat_errors.AgentChosen):
        send(user, chat_session, agent_id=make_agent("other").pk)
    assert rows() == before
    assert reread(chat_session).agent == chat_session.agent
    assert send(user, chat_session, agent_id=chat_session.agent_id).agent == chat_session.agent


@LACKING
def test_refused_message_assigns_no_agent(user: User, lacking: Lacking) -> None:
    chat_session = lacking(user)
    chosen = make_agent("chosen")
    active = Message.objects.get(session=chat_session, role="user").runs.create(
        session=chat_session, user=user
    )
    with pytest.raises(chat_errors.AlreadyAnswering):
        send(user, chat_session, agent_id=chosen.pk)
    assert reread(chat_session).agent == chat_session.agent
    active.finish(AgentRun.Status.DONE)


@LACKING
def test_of_two_agents_that_are_chosen_concurrently_one_stays(user: User, lacking: Lacking) -> None:
    chat_session = lacking(user)
    one, other = make_agent("one"), make_agent("other")

    def choose_other() -> None:
        send(user, chat_session, agent_id=other.pk).finish(AgentRun.Status.DONE)

    first_write = "BEGIN" if connection.vendor == "sqlite" else 'UPDATE "sessions"'
    with (
        before_statement(first_write, lambda: elsewhere(choose_other)),
        pytest.raises(chat_errors.AgentChosen),
    ):
        send(user, chat_session, agent_id=one.pk)
    assert reread(chat_session).agent == other
    assert Message.objects.filter(text_content="Go on").count() == 1


@LACKING
def test_retry_with_the_chosen_agent(user: User, lacking: Lacking) -> None:
    chat_session = lacking(user)
    chosen = make_agent("chosen")
    run = send(user, chat_session, agent_id=chosen.pk)
    run.finish(AgentRun.Status.FAILED)
    off = make_agent("chosen", active=False)
    with pytest.raises(chat_errors.AgentUnavailable):
        services.retry_run(user=user, session_id=run.session_id, run_id=run.pk)
    assert reread(chat_session).agent == off
    next_one = make_agent("next one")
    before = rows()
    again = services.retry_run(
        user=user, session_id=run.session_id, run_id=run.pk, agent_id=next_one.pk
    )
    assert (again.agent, reread(chat_session).agent) == (next_one, next_one)
    assert rows() == (before[0], before[1], before[2] + 1)
