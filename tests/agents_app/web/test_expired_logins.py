"""Requests after the login has expired: nothing is lost, and nothing happens unasked."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as LoginSession
from django.test import Client

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, failed, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, message, new_chat, shown

pytestmark = pytest.mark.django_db

TEXT = 'Plan <b>"two"</b> & three,\n\n  and more'
SHOWN = "Plan &lt;b&gt;&quot;two&quot;&lt;/b&gt; &amp; three,\n\n  and more"


def text_in(page: str) -> str:
    found = re.search(r"<textarea[^>]*>\n?([^<]*)</textarea>", page)
    assert found
    return found[1]


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.mark.parametrize("is_new", [True, False], ids=["new chat", "further message"])
def test_a_message_waits_for_the_login(
    client: Client, user: User, agent: Agent, is_new: bool
) -> None:
    if is_new:
        page, target, fields = "/chats/", "/chats/", new_chat(agent, TEXT)
    else:
        chat_session = answered(user)
        page, target = chat_url(chat_session), chat_url(chat_session, "chat-send")
        fields = message(TEXT)
    before = Message.objects.count()

    asked = client.post(target, fields)
    assert not LoginSession.objects.exists(), "nothing is stored for visitors"
    kept = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', html(asked)))
    assert kept["text"] == SHOWN
    assert kept["next"] == page
    login = {"username": "ana", "text": TEXT, "agent": kept.get("agent", ""), "next": page}
    again = client.post("/accounts/login/", {**login, "password": "wrong"})
    assert SHOWN in html(again)
    response = client.post("/accounts/login/", {**login, "password": "secret-enough-1"})
    assert response["Location"] == page

    assert text_in(html(client.get(page))) == SHOWN
    assert text_in(html(client.get(page))) == ""
    assert Message.objects.count() == before


def test_the_message_is_shown_on_its_own_page_only(client: Client, user: User) -> None:
    own, other = chat_url(answered(user)), chat_url(answered(user))
    login = {"username": "ana", "password": "secret-enough-1", "text": TEXT, "next": own}
    client.post("/accounts/login/", login)
    assert text_in(html(client.get(other))) == ""
    assert text_in(html(client.get(own))) == SHOWN


def test_the_message_is_shown_to_its_writer_only(client: Client, user: User, agent: Agent) -> None:
    bruno = make_user("bruno")
    for who, expected in ((bruno, ""), (user, SHOWN)):
        client.force_login(user)
        form = shown(client.get("/chats/"))
        writer = re.findall(r'name="writer" value="(\d+)"', form)
        assert writer == [str(user.pk)]
        client.logout()
        asked = client.post("/chats/", {**new_chat(agent, TEXT), "writer": writer[0]})
        assert f'name="writer" value="{user.pk}"' in html(asked)
        login = {"username": who.username, "password": "secret-enough-1", "next": "/chats/"}
        client.post("/accounts/login/", {**login, "text": TEXT, "writer": writer[0]})
        assert text_in(html(client.get("/chats/"))) == expected
        client.logout()


def test_what_cannot_be_sent_is_not_kept(client: Client, user: User, agent: Agent) -> None:
    login = {"username": "ana", "password": "secret-enough-1", "next": "/chats/"}
    response = client.post("/accounts/login/", {**login, "text": "a" * 1_000_001})
    assert response.status_code == 302
    assert text_in(html(client.get("/chats/"))) == ""


def test_what_cannot_be_stored_does_not_block_the_login(client: Client, user: User) -> None:
    login = {"username": "ana", "password": "secret-enough-1", "text": "a\x00b", "agent": "\x00"}
    assert client.post("/accounts/login/", login).status_code == 302


def test_other_forms_lead_back_to_their_page(client: Client, user: User) -> None:
    run = failed(user)
    for name in ("chat-stop", "chat-retry"):
        response = client.post(chat_url(run.session, name, run_id=run.pk))
        page = quote(chat_url(run.session), safe="")
        assert response["Location"] == f"/accounts/login/?expired=on&next={page}"
        assert "Your session has expired." in html(client.get(response["Location"]))
    assert "expired" not in html(client.get("/accounts/login/"))


ACCOUNT_PAGES = [
    *("settings", "logins", "keys", "delete"),
    *("email", "password/change", "password/set", "reauthenticate"),
]


@pytest.mark.parametrize("path", ACCOUNT_PAGES)
def test_forms_of_the_account_say_why_they_lead_to_the_login(client: Client, path: str) -> None:
    asked = client.post(f"/accounts/{path}/", {"password": "secret-enough-1"})
    login = html(client.get(asked["Location"]))
    assert "Your session has expired. Log in to continue." in login
    assert f'name="next" value="/accounts/{path}/"' in login


@pytest.mark.parametrize(
    "path", ["/accounts/settings/", "/accounts/email/", "/chats/trash/", "/chats/?q=ships"]
)
def test_links_of_pages_that_users_see_say_why_they_lead_to_the_login(
    client: Client, path: str
) -> None:
    followed = {"Sec-Fetch-Site": "same-origin"}
    login = html(client.get(client.get(path, headers=followed)["Location"]))
    assert "Your session has expired. Log in to continue." in login
    assert f'name="next" value="{path}"' in login
    for elsewhere in ({}, {"Sec-Fetch-Site": "none"}):
        login = html(client.get(client.get(path, headers=elsewhere)["Location"]))
        assert "expired" not in login, "typed in, or a link in a mail"
    login = html(client.get(client.get("/chats/", headers=followed)["Location"]))
    assert "expired" not in login, "the login's own link to the first page"


def test_exports_lead_back_to_the_page_with_the_link(client: Client, user: User) -> None:
    """The browser would stay on the login page if a download came after it."""
    chat_session = answered(user)
    for url, page in (
        (chat_url(chat_session, "chat-export") + "?format=md", chat_url(chat_session)),
        ("/chats/export/", "/chats/all/"),
    ):
        asked = client.get(url, headers={"Sec-Fetch-Site": "same-origin"})
        assert asked["Location"] == f"/accounts/login/?expired=on&next={quote(page, safe='')}"


def test_undoing_a_deletion_leads_to_the_trash(client: Client, user: User) -> None:
    """The way back from the login is a link, which cannot repeat what was posted."""
    asked = client.post("/chats/restore/", {"trashed_at": "2026-01-01T00:00:00+00:00"})
    next_page = parse_qs(urlsplit(asked["Location"]).query)["next"][0]
    client.force_login(user)
    assert client.get(next_page)["Location"] == "/chats/trash/"


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_a_script_gets_the_url_of_the_login(client: Client, agent: Agent, accept: str) -> None:
    response = client.post("/chats/", new_chat(agent, TEXT), headers={"Accept": accept})
    assert response.status_code == 401
    assert response.json()["login"] == "/accounts/login/"
    assert not Session.objects.exists()


def test_a_script_learns_of_another_login(user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    response = client.post(chat_url(answered(user), "chat-pin"), headers=JSON)
    assert response.status_code == 403
    assert "logged in or out" in response.json()["error"]


def test_pages_cost_no_further_query(
    client: Client, user: User, django_assert_num_queries: Callable[..., Any]
) -> None:
    client.force_login(user)
    page = chat_url(answered(user))
    # The login's session, the user, the chat with its agent, its messages, their runs, other
    # versions of answers and of questions, the agents, the sidebar's chats, those pinned.
    with django_assert_num_queries(10):
        client.get(page)
