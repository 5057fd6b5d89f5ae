"""A channel's key acts for many people: the users it creates, and the runs it may access."""

import uuid
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from agents_app.models import Agent, AgentRun, ExternalUser, Scope
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient, grant, key_for
from tests.agents_app.chats import make_user
from tests.factories import make_session

pytestmark = pytest.mark.django_db(transaction=True)

RUN = "agent/simple/run/async"


@pytest.fixture
def channel(user: User, agent: Agent) -> ApiClient:
    """The API, called with a key that may act for other users and create them."""
    grant(user, "agents_app.act_for_users", "auth.add_user")
    return ApiClient(key_for(user))


def counts() -> list[int]:
    return [model._base_manager.count() for model in (User, ExternalUser, Session, Message)]


NEW = {"phone_number": "+31999", "email": "carla@example.org"}


@pytest.mark.parametrize("path", ["agent/simple/run", RUN])
@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"message_content": ""}, 422),
        ({"message_content": " "}, 422),
        ({"message_content": "a\0b"}, 422),
        ({"session_id": "zz"}, 404),
        ({"session_id": str(uuid.uuid4())}, 404),
        ({"session_name": " "}, 422),
        ({"session_name": "a\0b"}, 422),
        ({"user": {"email": "not an email"}}, 422),
        ({"user": {"email": "not an email", "phone_number": "+31999"}}, 422),
    ],
    ids=str,
)
def test_what_fails_makes_no_user(
    channel: ApiClient, path: str, accept: str, fields: dict[str, Any], status: int
) -> None:
    before = counts()
    body = {"message_content": "x", "user": NEW, **fields}
    assert channel("POST", path, body, Accept=accept).status_code == status
    assert counts() == before


def test_session_of_another_is_not_a_new_users(channel: ApiClient, user: User) -> None:
    chat_session = make_session(user=user)
    before = counts()
    body = {"message_content": "x", "session_id": str(chat_session.pk), "user": NEW}
    assert channel("POST", RUN, body).status_code == 404
    assert counts() == before


@pytest.mark.parametrize("name", [None, "trip"])
def test_new_user_is_made_with_the_session(channel: ApiClient, name: str | None) -> None:
    body = {"message_content": "Hello", "session_name": name, "user": NEW}
    assert channel("POST", RUN, body).status_code == 200
    made = ExternalUser.objects.get().user
    assert (made.username, made.email) == ("carla@example.org", "carla@example.org")
    chat_session = Session.objects.get()
    assert (chat_session.user, chat_session.name) == (made, name or "Hello")
    assert {message.user for message in Message.objects.all()} == {made}


def test_name_of_a_new_user_that_another_has(channel: ApiClient, user: User) -> None:
    make_user("+31999")
    body = {"message_content": "Hello", "user": {"phone_number": "+31999"}}
    assert channel("POST", RUN, body).status_code == 200
    assert ExternalUser.objects.get().user.username.startswith("channel-")


class TestAddressOfASignUp:
    """It may be anybody's address until it is confirmed."""

    @pytest.fixture
    def stranger(self, settings: Settings) -> User:
        settings.SIGN_UP = True
        form = {"username": "stranger", "email": "Carla@example.org", "password1": "bJ7-rTq-92k"}
        assert Client().post("/accounts/signup/", form).status_code == 302
        return User.objects.get(username="stranger")

    def owner_of_a_run(self, channel: ApiClient, **who: Any) -> str | None:
        body = {"message_content": "A secret", **who}
        response = channel("POST", RUN, body)
        if response.status_code == 404:
            return None
        return Session.objects.get(pk=response.json()["session_id"]).user.username  # type: ignore[union-attr]

    def test_unconfirmed(self, channel: ApiClient, stranger: User) -> None:
        assert self.owner_of_a_run(channel, user_id="carla@example.org") is None
        for _ in range(2):
            assert self.owner_of_a_run(channel, user=NEW) == "carla@example.org"
        assert not Session.objects.filter(user=stranger).exists()

    def test_confirmed(self, channel: ApiClient, stranger: User) -> None:
        EmailAddress.objects.get(user=stranger).set_verified()
        assert self.owner_of_a_run(channel, user_id="carla@example.org") == "stranger"
        assert self.owner_of_a_run(channel, user=NEW) == "stranger"

    def test_given_by_staff(self, channel: ApiClient, stranger: User) -> None:
        """An unconfirmed address that is to replace it makes no difference."""
        carla = make_user("carla", email="carla@example.org")
        EmailAddress.objects.create(user=carla, email="carla@example.net")
        assert self.owner_of_a_run(channel, user=NEW) == "carla"


class TestRunsOfOthers:
    def start(self, channel: ApiClient, owner: User) -> AgentRun:
        body = {"message_content": "Hello", "user_id": owner.pk}
        return AgentRun.objects.get(pk=channel("POST", RUN, body).json()["run_id"])

    def test_channel_sees_and_stops_them(self, channel: ApiClient) -> None:
        run = self.start(channel, make_user("bruno"))
        state = channel("GET", f"runs/{run.pk}/status").json()
        assert (state["status"], state["session_id"]) == ("pending", str(run.session_id))
        stopped = channel("POST", f"run/{run.pk}/stop").json()
        assert (stopped["status"], stopped["stopped"]) == ("stopped", True)

    @pytest.mark.parametrize("lacks", ["scope", "permission"])
    def test_others_do_not(self, channel: ApiClient, user: User, lacks: str) -> None:
        run = self.start(channel, make_user("bruno"))
        other = ApiClient(key_for(user, Scope.CHAT, Scope.READ)) if lacks == "scope" else channel
        if lacks == "permission":
            user.user_permissions.clear()
        assert other("GET", f"runs/{run.pk}/status").status_code == 404
        assert other("POST", f"runs/{run.pk}/stop").status_code == 404
        assert AgentRun.objects.active().get() == run

    def test_deleted_session(self, channel: ApiClient, user: User) -> None:
        run = self.start(channel, user)
        assert channel("DELETE", f"sessions/{run.session_id}").status_code == 200
        assert channel("GET", f"runs/{run.pk}/status").status_code == 404
