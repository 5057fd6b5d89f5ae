"""The use-cases, as any caller has them: what they refuse, and what is left then."""

import uuid

import pytest
from django.contrib.auth.models import User

from agents_app import services
from agents_app.models import Agent
from sessions_app.models import Session
from tests.agents_app.chats import answered, make_agent, make_user
from tests.agents_app.views.helpers import rows

pytestmark = pytest.mark.django_db(transaction=True)

NO_MESSAGES = [
    pytest.param("", "Write a message first.", id="empty"),
    pytest.param(" \n\t ", "Write a message first.", id="blank"),
    pytest.param("a\0b", "NUL character", id="NUL"),
    pytest.param("\ud800", "half a character", id="half a character"),
    pytest.param(
        "x" * 1_000_001, "at most 1,000,000 characters; this one has 1000001", id="too long"
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
def test_what_is_no_message_starts_no_chat(
    user: User, agent: Agent, text: str, complaint: str
) -> None:
    with pytest.raises(services.InvalidMessage, match=complaint):
        services.start_session(user=user, agent_id=agent.pk, text=text, message_id=uuid.uuid4())
    assert rows() == (0, 0, 0)


@pytest.mark.parametrize(("text", "complaint"), NO_MESSAGES)
def test_what_is_no_message_is_not_stored(user: User, text: str, complaint: str) -> None:
    chat_session = answered(user)
    before = rows()
    with pytest.raises(services.InvalidMessage, match=complaint):
        services.send_message(
            user=user, session_id=chat_session.pk, text=text, message_id=uuid.uuid4()
        )
    assert rows() == before


@pytest.mark.parametrize(("name", "complaint"), NO_NAMES)
def test_what_is_no_name_is_not_given(user: User, name: str, complaint: str) -> None:
    chat_session = answered(user, "Its name")
    with pytest.raises(services.InvalidName, match=complaint):
        services.rename_session(user=user, session_id=chat_session.pk, name=name)
    assert Session.objects.get().name == "Its name"
