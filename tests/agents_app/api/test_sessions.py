"""Sessions and messages through the API."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents_app.api import paging
from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.api.conftest import ApiClient
from tests.agents_app.chats import answered, make_user
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db

START = datetime(2026, 1, 1, tzinfo=UTC)


def sessions_of(user: User, count: int) -> list[Session]:
    """Sessions in pairs, each with the same time of the last activity."""
    return [
        make_session(user=user, name=f"Session {i}", created_at=START + timedelta(minutes=i // 2))
        for i in range(count)
    ]


class TestList:
    def test_fields(self, api: ApiClient, user: User, agent: Agent) -> None:
        chat_session = answered(user, "Hello")
        [listed] = api("GET", "sessions").json()["sessions"]
        assert listed["session_id"] == str(chat_session.pk)
        assert listed["session_name"] == "Hello"
        assert listed["message_count"] == 2
        assert listed["user_id"] == str(user.pk)
        assert (listed["agent_id"], listed["agent_name"]) == (agent.pk, "simple")
        assert listed["session_origin"] == "web"

    def test_own_ones_only(self, api: ApiClient) -> None:
        make_session(user=make_user("bruno"))
        make_session(user=None)
        answer = api("GET", "sessions").json()
        assert answer["sessions"] == []
        assert (answer["total"], answer["total_count"], answer["total_pages"]) == (0, 0, 1)

    @pytest.mark.parametrize("sort_desc", ["true", "false"])
    def test_pages_and_cursors_have_every_session_once(
        self, api: ApiClient, user: User, sort_desc: str
    ) -> None:
        expected = {str(chat_session.pk) for chat_session in sessions_of(user, 11)}
        query = f"page_size=3&sort_desc={sort_desc}"
        pages = [api("GET", f"sessions?{query}&page={page}").json() for page in range(1, 6)]
        by_page = [row["session_id"] for page in pages for row in page["sessions"]]
        assert len(by_page) == 11
        assert set(by_page) == expected
        assert (pages[0]["total"], pages[0]["total_pages"]) == (11, 4)
        by_cursor: list[str] = []
        cursor = ""
        while cursor is not None:
            part = f"&cursor={cursor}" if cursor else ""
            page = api("GET", f"sessions?{query}{part}").json()
            by_cursor += [row["session_id"] for row in page["sessions"]]
            cursor = page["next_cursor"]
        assert by_cursor == by_page

    @pytest.mark.parametrize("cursor", ["x", "eA", "%00", "ü", "MjAyNi0wMS0wMVQwMDowMDowMCB4"])
    def test_bad_cursor(self, api: ApiClient, cursor: str) -> None:
        assert api("GET", f"sessions?cursor={cursor}").status_code == 422

    @pytest.mark.parametrize(
        "query", ["page=0", "page_size=101", "page_size=x", "page=999999999999999999999"]
    )
    def test_bad_page(self, api: ApiClient, query: str) -> None:
        response = api("GET", f"sessions?{query}")
        assert response.status_code == 422
        assert response.json()["detail"].startswith(query.split("=")[0])

    def test_total_is_capped(
        self, api: ApiClient, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(paging, "COUNT_LIMIT", 3)
        sessions_of(user, 3)
        assert api("GET", "sessions").json()["total_is_capped"] is False
        sessions_of(user, 1)
        answer = api("GET", "sessions").json()
        assert (answer["total"], answer["total_is_capped"]) == (3, True)

    def test_queries(self, api: ApiClient, user: User) -> None:
        def count() -> int:
            with CaptureQueriesContext(connection) as captured:
                api("GET", "sessions")
            return len(captured)

        sessions_of(user, 1)
        count()
        one = count()
        sessions_of(user, 40)
        # The key, the count of its requests, the sessions, and their number.
        assert count() == one == 4


class TestCreate:
    def test_empty_session(self, api: ApiClient, user: User, agent: Agent) -> None:
        body = {"name": "Planning", "agent": "simple", "platform": "discord", "extra": 1}
        response = api("POST", "sessions", body)
        assert response.status_code == 201
        chat_session = Session.objects.get()
        assert response.json()["session_id"] == str(chat_session.pk)
        assert (chat_session.user, chat_session.agent) == (user, agent)
        assert (chat_session.name, chat_session.platform) == ("Planning", "discord")

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": ""},
            {"name": " "},
            {"name": "x" * 201},
            {"name": "a\0b"},
            {"name": "x", "platform": "nowhere"},
            {"name": ["x"]},
            [],
            "text",
        ],
    )
    def test_bad_body(self, api: ApiClient, body: Any) -> None:
        response = api("POST", "sessions", body)
        assert response.status_code == 422
        assert not Session.objects.exists()

    def test_unknown_agent(self, api: ApiClient) -> None:
        assert api("POST", "sessions", {"name": "x", "agent": "nobody"}).status_code == 404
        assert not Session.objects.exists()


class TestRead:
    def test_newest_first(self, api: ApiClient, user: User) -> None:
        chat_session = answered(user, "Hello", "Hi!")
        answer = api("GET", f"sessions/{chat_session.pk}").json()
        assert [m["content"] for m in answer["messages"]] == ["Hi!", "Hello"]
        assert answer["exists"] is True
        assert (answer["total_messages"], answer["current_page"], answer["total_pages"]) == (
            2,
            1,
            1,
        )
        oldest = api("GET", f"sessions/{chat_session.pk}?sort_desc=false&page_size=1&page=2").json()
        assert [m["content"] for m in oldest["messages"]] == ["Hi!"]

    def test_by_name(self, api: ApiClient, user: User) -> None:
        make_session(user=make_user("bruno"), name="Trip")
        assert api("GET", "sessions/Trip").status_code == 404
        make_session(user=user, name="Trip")
        assert api("GET", "sessions/Trip").json()["session_id"] == "Trip"

    @pytest.mark.parametrize("notation", ["{}", "{{{}}}", "urn:uuid:{}"])
    def test_by_id_in_any_notation(self, api: ApiClient, user: User, notation: str) -> None:
        session_id = str(make_session(user=user).pk)
        asked = notation.format(session_id.upper())
        for method in ("GET", "DELETE"):
            assert api(method, f"sessions/{asked}").json()["session_id"] == session_id

    @pytest.mark.parametrize(
        "name", ["a/b", "/a", "a/", "a\nb", "a\n", "cleanup", "1/cleanup", "ü?"]
    )
    def test_any_name(self, api: ApiClient, user: User, name: str) -> None:
        make_session(user=user, name=name)
        path = f"sessions/{quote(name, safe='')}"
        assert api("GET", path).json()["session_name"] == name
        assert api("HEAD", path).status_code == 200
        assert api("PATCH", path, {"name": name}).json()["session_name"] == name
        assert api("DELETE", path).json()["session_id"] == name
        assert api("GET", path).status_code == 404

    def test_tools_and_system_prompt(self, api: ApiClient, user: User) -> None:
        chat_session = make_session(user=user)
        say(chat_session, "Be kind.", role="system")
        calls = {"0": {"tool_name": "clock", "args": {}, "tool_call_id": "1"}}
        say(chat_session, "It is four.", role="assistant", tool_calls=calls)
        say(chat_session, "", role="tool", tool_outputs=[{"tool_name": "clock", "content": "4"}])
        path = f"sessions/{chat_session.pk}"
        answer = api("GET", f"{path}?sort_desc=false").json()
        assert [m["role"] for m in answer["messages"]] == ["assistant", "tool"]
        assert answer["messages"][0]["tool_calls"] == calls
        assert answer["messages"][1]["tool_outputs"]["0"]["content"] == "4"
        assert answer["system_prompt"] is None
        hidden = api("GET", f"{path}?hide_tools=true&show_system_prompt=true").json()
        assert [m["role"] for m in hidden["messages"]] == ["assistant"]
        assert hidden["messages"][0]["tool_calls"] == {}
        assert hidden["system_prompt"] == "Be kind."
        # The count includes the messages that are not shown, as in the list.
        [listed] = api("GET", "sessions").json()["sessions"]
        counts = [shown["message_count"] for shown in (answer, hidden, listed)]
        assert counts == [3, 3, 3]
        assert (answer["total_messages"], hidden["total_messages"]) == (2, 1)

    def test_message(self, api: ApiClient, user: User) -> None:
        mine = say(make_session(user=user))
        others = say(make_session(user=make_user("bruno")))
        assert api("GET", f"messages/{mine.pk}").json()["content"] == "Hello"
        for unknown in (others.pk, uuid.uuid4(), "x", "0"):
            response = api("GET", f"messages/{unknown}")
            assert response.status_code == 404
            assert response.json()["code"] == "message_not_found"

    def test_set_aside_messages_are_marked(self, api: ApiClient, user: User) -> None:
        chat_session = answered(user)
        Message.objects.filter(role="assistant").update(set_aside_with=uuid.uuid4())
        messages = api("GET", f"sessions/{chat_session.pk}").json()["messages"]
        assert [m["chosen"] for m in messages] == [False, True]


class TestChange:
    def test_rename(self, api: ApiClient, user: User) -> None:
        chat_session = make_session(user=user)
        response = api("PATCH", f"sessions/{chat_session.pk}", {"name": "Trip"})
        assert response.json()["session_name"] == "Trip"
        assert api("PATCH", "sessions/Trip", {"name": ""}).status_code == 422
        assert Session.objects.get().name == "Trip"

    def test_delete(self, api: ApiClient, user: User) -> None:
        chat_session = answered(user)
        others = make_session(user=make_user("bruno"))
        response = api("DELETE", f"sessions/{chat_session.pk}")
        assert response.json()["status"] == "success"
        assert api("GET", f"sessions/{chat_session.pk}").status_code == 404
        assert api("DELETE", f"sessions/{others.pk}").status_code == 404
        assert Session.objects.filter(pk=others.pk).exists()
