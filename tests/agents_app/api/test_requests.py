"""Requests of programs, without the answer of an agent: lookups, repeats and validation."""

import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents_app.models import Agent, AgentRun, Ticket
from config.form_encoding import MULTIPART, URL_ENCODED
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient
from tests.agents_app.chats import ask, make_agent, make_user
from tests.factories import make_session

pytestmark = pytest.mark.django_db(transaction=True)

RUN = "agent/simple/run/async"


@pytest.fixture
def unchanged(agent: Agent, api: ApiClient) -> Iterator[None]:
    """Checks that the test creates none of the rows that a run may need."""

    def rows() -> list[list[Any]]:
        models = (User, Session, Message, AgentRun, Ticket)
        return [list(model._base_manager.order_by("pk").values_list("pk")) for model in models]

    before = rows()
    yield
    assert rows() == before


def test_strangers_do_not_queue(api: ApiClient, agent: Agent) -> None:
    """Users get 404 immediately for another user's session, although others wait there."""
    others = ask(make_user("bruno"), agent=agent).session
    Ticket.objects.create(session=others, expires_at=timezone.now() + timedelta(minutes=1))
    body = {"message_content": "Hello", "session_id": str(others.pk)}
    assert api("POST", f"{RUN}?wait=0", body).status_code == 404
    numbers = Ticket.objects.values_list("pk", flat=True)
    # A ticket that was taken and deleted would have used an id.
    following = Ticket.objects.create(session=others, expires_at=timezone.now())
    assert following.pk == min(numbers) + 1


class TestAgents:
    @pytest.mark.parametrize("stored", ["sofia", "sofia_agent", "sofia-agent"])
    @pytest.mark.parametrize("asked", ["sofia", "sofia_agent", "sofia-agent"])
    def test_suffixes_make_no_difference(self, api: ApiClient, stored: str, asked: str) -> None:
        make_agent(stored)
        response = api("POST", f"agent/{asked}/run/async", {"message_content": "Hello"})
        assert response.json()["agent_name"] == stored

    @pytest.mark.parametrize("asked", ["sofia", "sofia_agent", "sofia-agent"])
    def test_the_exact_name_comes_first(self, api: ApiClient, asked: str) -> None:
        for name in ("sofia-agent", "sofia_agent", "sofia"):
            make_agent(name)
        response = api("POST", f"agent/{asked}/run/async", {"message_content": "Hello"})
        assert response.json()["agent_name"] == asked

    @pytest.mark.parametrize("name", ["a/b", "run", "run/async", "create"])
    def test_any_name(self, api: ApiClient, name: str) -> None:
        make_agent(name)
        path = f"agent/{quote(name, safe='')}/run/async"
        assert api("POST", path, {"message_content": "Hello"}).json()["agent_name"] == name
        assert api("GET", f"/v1/models/{quote(name, safe='')}").json()["id"] == name

    def test_by_id(self, api: ApiClient, agent: Agent) -> None:
        response = api("POST", f"agent/{agent.pk}/run/async", {"message_content": "Hello"})
        assert response.json()["agent_name"] == "simple"


@pytest.mark.parametrize("origin", ["web", "manychat", "automagik-spark"])
def test_origin_becomes_the_platform(api: ApiClient, agent: Agent, origin: str) -> None:
    api("POST", RUN, {"message_content": "Hello", "session_origin": origin})
    assert Session.objects.get().platform == origin


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", URL_ENCODED, MULTIPART, f"{MULTIPART}; boundary=x", "nonsense"],
)
@pytest.mark.parametrize("text", ["Hello", "100%ff, b=1", "&" * 1100], ids=["plain", "%", "&"])
def test_json_is_read_whatever_it_is_called(
    api: ApiClient, agent: Agent, content_type: str, text: str
) -> None:
    response = Client().generic(
        "POST",
        f"/api/v1/{RUN}",
        json.dumps({"message_content": text}),
        content_type,
        headers={"X-API-Key": api.key},
    )
    assert response.status_code == 200
    assert Message.objects.get().text_content == text


class TestRepeats:
    BODY: ClassVar[dict[str, Any]] = {"message_content": "Pay", "session_name": "bills"}

    def send(self, api: ApiClient, path: str = RUN, **fields: Any) -> Any:
        return api("POST", path, {**self.BODY, **fields}, **{"Idempotency-Key": "4711"})

    def test_the_same_request(self, api: ApiClient, agent: Agent) -> None:
        first = self.send(api)
        for path in (RUN, f"agent/{agent.pk}/run/async", "agent/simple-agent/run/async"):
            again = self.send(api, path, mediaUrl="ignored")
            assert again.json() == first.json()
        assert AgentRun.objects.count() == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"message_content": "Else"},
            {"session_name": "other"},
            {"session_name": None},
            {"system_prompt": "Be a pirate."},
            {"message_limit": 3},
            {"parameters": {"temperature": 1}},
            {"context": {"a": 1}},
            {"session_origin": "discord"},
        ],
        ids=str,
    )
    def test_another_request(self, api: ApiClient, agent: Agent, fields: dict[str, Any]) -> None:
        first = self.send(api).json()
        AgentRun.objects.get(pk=first["run_id"]).finish(AgentRun.Status.DONE)
        refused = self.send(api, **fields)
        assert (refused.status_code, refused.json()["code"]) == (409, "idempotency_key_used")
        assert "Idempotency-Key" in refused.json()["detail"]
        assert AgentRun.objects.count() == Session.objects.count() == 1

    def test_another_agent(self, api: ApiClient, agent: Agent) -> None:
        self.send(api)
        make_agent("other")
        assert self.send(api, "agent/other/run/async").status_code == 409

    def test_deleted_session(self, api: ApiClient, agent: Agent) -> None:
        """A repeated request does not return a session that no longer exists."""
        first = self.send(api, session_name=None).json()
        api("DELETE", f"sessions/{first['session_id']}")
        again = self.send(api, session_name=None)
        assert (again.status_code, again.json()["code"]) == (404, "session_not_found")


@pytest.mark.usefixtures("unchanged")
class TestRefused:
    @pytest.mark.parametrize(
        "fields",
        [
            {"user": "bob@example.org"},
            {"user": ["bob@example.org"]},
            {"user": 5},
            {"parameters": []},
            {"parameters": "x"},
            {"parameters": {"max_tokens": True}},
            {"parameters": {"temperature": True}},
            {"message_limit": True},
            {"message_limit": "5"},
            {"parameters": {"temperature": "0.5"}},
            {"user_id": True},
        ],
        ids=str,
    )
    def test_wrong_types(self, api: ApiClient, fields: dict[str, Any]) -> None:
        response = api("POST", RUN, {"message_content": "Hello", **fields})
        assert response.status_code == 422

    @pytest.mark.parametrize(
        "fields",
        [
            {"metadata": "x"},
            {"metadata": []},
            {"stream_options": 5},
            {"stream": "true"},
            {"stream": 1},
            {"store": 0},
            {"max_tokens": "5"},
            {"max_completion_tokens": True},
            {"temperature": True},
            {"stream_options": {"include_usage": "yes"}},
        ],
        ids=str,
    )
    def test_wrong_types_in_openai_shape(self, api: ApiClient, fields: dict[str, Any]) -> None:
        body = {"model": "simple", "messages": [{"role": "user", "content": "Hello"}]}
        response = api("POST", "/v1/chat/completions", {**body, **fields})
        assert response.status_code == 400

    @pytest.mark.parametrize(
        "body",
        [
            *([], "x", 5, {"dry_run": 0}, {"dry_run": "false"}, {"limit": True}),
            *({"created_before": moment} for moment in (5, "0", "5.5", "tomorrow", True)),
        ],
        ids=str,
    )
    def test_wrong_types_of_a_cleanup(self, api: ApiClient, user: User, body: Any) -> None:
        User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
        assert api("POST", "sessions/cleanup", body).status_code == 422

    @pytest.mark.parametrize("flag", ["sort_desc", "hide_tools", "show_system_prompt"])
    def test_wrong_flags(self, api: ApiClient, user: User, flag: str) -> None:
        make_session(user=user, name="Trip")
        for value in ("true", "True", "false", "FALSE"):
            assert api("GET", f"sessions/Trip?{flag}={value}").status_code == 200
        for value in ("", "1", "0", "yes", "off", "null"):
            response = api("GET", f"sessions/Trip?{flag}={value}")
            assert response.status_code == 422
            assert response.json()["detail"].startswith(f"{flag}: ")
        Session.objects.all().delete()

    @pytest.mark.parametrize("agent_of_session", [True, [], {}])
    def test_wrong_types_of_a_session(self, api: ApiClient, agent_of_session: Any) -> None:
        response = api("POST", "sessions", {"name": "Trip", "agent": agent_of_session})
        assert response.status_code == 422

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", RUN, {"message_content": "x", "user_id": "\ud800"}),
            ("POST", RUN, {"message_content": "x", "user_id": "9" * 5000}),
            ("POST", RUN, {"message_content": "x", "session_id": "\ud800"}),
            ("POST", "sessions", {"name": "n", "agent": "\ud800"}),
            ("POST", "sessions", {"name": "n", "agent": "9" * 5000}),
            ("GET", f"users/{'9' * 5000}", None),
            ("GET", "users/%00", None),
            (
                "POST",
                "/v1/chat/completions",
                {"model": "\ud800", "messages": [{"role": "user", "content": "Hello"}]},
            ),
        ],
        ids=lambda value: str(value)[:60].encode(errors="replace").decode(),
    )
    def test_names_that_nothing_can_have(
        self, api: ApiClient, user: User, method: str, path: str, body: Any
    ) -> None:
        User.objects.filter(pk=user.pk).update(is_superuser=True)
        assert api(method, path, body).status_code == 404

    @pytest.mark.parametrize("path", ["agent/simple/run", RUN])
    @pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
    @pytest.mark.parametrize("session_id", ["", " ", "nonsense", str(uuid.uuid4())])
    def test_unknown_session(self, api: ApiClient, path: str, accept: str, session_id: str) -> None:
        body = {"message_content": "Hello", "session_id": session_id}
        response = api("POST", path, body, Accept=accept)
        assert (response.status_code, response.json()["code"]) == (404, "session_not_found")

    @pytest.mark.parametrize("path", ["agent/nobody/run", "agent/nobody/run/async"])
    @pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
    def test_unknown_agent(self, api: ApiClient, path: str, accept: str) -> None:
        response = api("POST", path, {"message_content": "Hello"}, Accept=accept)
        assert (response.status_code, response.json()["code"]) == (404, "agent_not_found")

    def test_session_name_that_cannot_be_stored(self, api: ApiClient) -> None:
        response = api("POST", RUN, {"message_content": "x", "session_name": "\ud800"})
        assert response.status_code == 422
