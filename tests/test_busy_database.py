"""While the database is busy or unreachable: 503, and typed text can be sent again."""

import http.client
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg_pool
import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError, OperationalError, connection
from django.test import Client
from django.urls import reverse

from agents_app.models import Agent
from sessions_app.database_errors import is_unavailable
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, make_agent, make_user
from tests.agents_app.web.helpers import EVENTS, JSON, chat_url, html, message, new_chat
from tests.locks import writers_locked_out
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "Line one\r\n\r\n  “two” <b>&amp;</b>\r\n"
UNREACHABLE = "postgresql://nobody@127.0.0.1:1/nothing"


class ShownForm(HTMLParser):
    """The form on a page as a browser would send it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action, self.fields, self.kinds = "", {}, {}
        self._textarea: str | None = None
        self.feed(page)

    fields: dict[str, str]
    kinds: dict[str, str]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values["action"]
        elif tag == "textarea":
            self._textarea = values["name"]
            self.fields[values["name"]], self.kinds[values["name"]] = "", "textarea"
        elif tag == "input":
            self.fields[values["name"]] = values.get("value", "")
            self.kinds[values["name"]] = values["type"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea] += data.removeprefix("\n")  # as browsers do


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture
def person(user: User, agent: Agent) -> Client:
    """A logged-in client for which CSRF is checked."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.get("/chats/")
    return client


def token(client: Client) -> dict[str, str]:
    return {"csrfmiddlewaretoken": client.cookies["csrftoken"].value}


def test_a_message_is_kept_on_a_page_that_sends_it_again(person: Client, agent: Agent) -> None:
    typed = new_chat(agent, TEXT)
    with writers_locked_out():
        response = person.post("/chats/", {**typed, **token(person)})

    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    page = html(response)
    assert "Try again" in page
    form = ShownForm(page)
    assert form.action == "/chats/"
    assert form.kinds["text"] == "textarea"
    assert form.kinds["message_id"] == form.kinds["agent"] == "hidden"
    assert form.fields["text"] == TEXT
    assert Session.objects.count() == 0

    assert person.post(form.action, form.fields).status_code == 303
    stored = Message.objects.get()
    assert str(stored.pk) == typed["message_id"]
    assert stored.text_content == TEXT


def test_every_form_of_a_chat(person: Client, user: User) -> None:
    chat_session = answered(user)
    forms = [
        (chat_url(chat_session, "chat-send"), message(TEXT), "textarea"),
        (chat_url(chat_session, "chat-rename"), {"name": "Plans <1>"}, "text"),
        (chat_url(chat_session, "chat-delete"), {}, None),
    ]
    for url, typed, kind in forms:
        with writers_locked_out():
            response = person.post(url, {**typed, **token(person)})
        assert response.status_code == 503
        form = ShownForm(html(response))
        assert form.action == url
        assert typed.items() <= form.fields.items()
        assert kind in {*form.kinds.values(), None}
        assert person.post(url, form.fields).status_code in {302, 303}


@pytest.mark.parametrize("headers", [JSON, EVENTS], ids=["json", "events"])
def test_a_script_gets_the_reason(person: Client, agent: Agent, headers: dict[str, str]) -> None:
    with writers_locked_out():
        response = person.post(
            "/chats/", {**new_chat(agent, TEXT), **token(person)}, headers=headers
        )
    assert response.status_code == 503
    assert int(response["Retry-After"]) > 0
    assert "busy" in response.json()["error"]


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/"])
def test_a_login_keeps_the_name_and_never_the_password(user: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.get(path, follow=True)
    User.objects.update(is_staff=True)
    typed = {"username": "ana", "password": "secret-enough-1", "next": "/chats/?page=1"}
    with writers_locked_out():
        response = client.post(path, {**typed, **token(client)})

    assert response.status_code == 503
    page = html(response)
    assert "secret-enough-1" not in page
    form = ShownForm(page)
    assert form.kinds == {
        "csrfmiddlewaretoken": "hidden",
        "username": "text",
        "password": "password",
        "next": "hidden",
    }
    assert form.fields["username"] == "ana"
    again = client.post(form.action, {**form.fields, "password": "secret-enough-1"})
    assert again.status_code == 302
    assert again["Location"] == "/chats/?page=1"


def test_the_admin_keeps_what_was_typed(user: User, agent: Agent) -> None:
    User.objects.update(is_staff=True, is_superuser=True)
    admin = Client()
    admin.force_login(user)
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    typed = {"name": agent.name, "active": "on", "config": "{}", "system_prompt": TEXT}
    with writers_locked_out():
        response = admin.post(url, {**typed, "type": agent.type})
    assert response.status_code == 503
    form = ShownForm(html(response))
    assert form.fields["system_prompt"] == TEXT
    assert admin.post(url, form.fields).status_code == 302
    agent.refresh_from_db()
    assert agent.system_prompt == TEXT.strip()


def test_debug_shows_the_same(person: Client, agent: Agent, settings: Any) -> None:
    settings.DEBUG = True
    with writers_locked_out():
        response = person.post("/chats/", {**new_chat(agent, TEXT), **token(person)})
    assert response.status_code == 503
    assert ShownForm(html(response)).fields["text"] == TEXT


def test_pages_while_the_database_is_unreachable(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr, serve(UNREACHABLE, stderr.fileno(), DEBUG="off") as server:
        for path in ("/chats/", "/missing", "/admin/"):
            browser = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
            browser.request("GET", path, headers={"Cookie": "sessionid=abcdefghijklmnop"})
            response = browser.getresponse()
            page = response.read().decode()
            browser.close()
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert f'href="{path}"' in page
    assert "The database is busy or unreachable: connection failed" in log.read_text()


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="PostgreSQL's pool")
def test_a_pool_without_a_free_connection_is_busy() -> None:
    with (
        psycopg_pool.ConnectionPool(UNREACHABLE, min_size=0, max_size=1, open=True) as pool,
        pytest.raises(OperationalError) as raised,
        connection.wrap_database_errors,
    ):
        pool.getconn(timeout=0.1)
    assert is_unavailable(raised.value)


def test_other_errors_of_the_database_are_not_busy() -> None:
    with pytest.raises(DatabaseError) as raised, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM no_such_table")
    assert not is_unavailable(raised.value)
