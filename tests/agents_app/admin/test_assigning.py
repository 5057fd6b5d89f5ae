"""Staff assign an agent to a session in the admin, so that its user can continue it."""

import uuid

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents_app.models import Agent
from agents_app.services import send_message
from sessions_app.models import Session
from tests.agents_app.chats import make_agent, make_user
from tests.concurrency.helpers import before_statement, elsewhere
from tests.factories import make_session, say
from tests.sessions_app.admin.helpers import LIST, Page, change_url, log_in, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def editor() -> Client:
    return log_in(staff("editor", "change_session"))


def test_a_session_without_an_agent_gets_one_and_can_be_continued(editor: Client) -> None:
    ana = make_user()
    chat_session = make_session(user=ana, metadata={"a": 1})
    say(chat_session, "Hello?", user=ana)
    agent = make_agent("helper")
    page = Page.of(editor, change_url(chat_session))
    assert not page.problems
    Session.objects.filter(pk=chat_session.pk).update(platform="mobile", metadata={"b": 2})
    before = Session.objects.values().get(pk=chat_session.pk)
    page = page.press("_save", agent=agent.pk, platform="forged", user="")
    assert "changed successfully" in page.messages[0]
    after = Session.objects.values().get(pk=chat_session.pk)
    assert after == {**before, "agent_id": agent.pk}
    send_message(user=ana, session_id=chat_session.pk, text="And?", message_id=uuid.uuid4())


def test_only_active_agents_and_the_current_one_are_offered(editor: Client) -> None:
    off, other_off = make_agent("off", active=False), make_agent("other-off", active=False)
    chat_session = make_session(name="Old", agent=off)
    page = Page.of(editor, change_url(chat_session))
    assert f'<option value="{off.pk}" selected>off</option>' in page.html
    assert "other-off" not in page.html
    refused = page.press("_save", agent=other_off.pk)
    assert "Select a valid choice" in refused.text
    page = page.press("_save", name="New", agent=off.pk)
    assert "changed successfully" in page.messages[0]
    chat_session.refresh_from_db()
    assert (chat_session.name, chat_session.agent) == ("New", off)


def test_the_page_has_no_buttons_that_change_or_delete_the_agent_itself() -> None:
    chat_session = make_session(agent=make_agent("helper"))
    root = log_in(User.objects.create_superuser("root", password="secret"))
    page = Page.of(root, change_url(chat_session))
    assert "helper" in page.text
    assert "change_id_agent" not in page.html
    assert "delete_id_agent" not in page.html


def test_the_agent_can_be_removed(editor: Client) -> None:
    chat_session = make_session(agent=make_agent("helper"))
    Page.of(editor, change_url(chat_session)).press("_save", agent="")
    chat_session.refresh_from_db()
    assert chat_session.agent is None


def test_the_view_permission_does_not_allow_assigning() -> None:
    agent = make_agent("helper")
    chat_session = make_session()
    client = log_in(staff("reviewer", "view_session"))
    page = Page.of(client, change_url(chat_session))
    assert "helper" not in page.html
    token = client.cookies["csrftoken"].value
    data = {"csrfmiddlewaretoken": token, "name": "New", "agent": agent.pk}
    assert client.post(change_url(chat_session), data).status_code == 403
    chat_session.refresh_from_db()
    assert chat_session.agent is None


def test_the_page_costs_the_same_number_of_queries_for_1_agent_and_for_100(editor: Client) -> None:
    url = change_url(make_session())
    Page.of(editor, url)
    with CaptureQueriesContext(connection) as one:
        Page.of(editor, url)
    Agent.objects.bulk_create(Agent(name=f"agent-{number}") for number in range(100))
    with CaptureQueriesContext(connection) as hundred:
        page = Page.of(editor, url)
    assert "agent-99" in page.html
    assert len(hundred) == len(one)


def test_a_session_deleted_meanwhile_shows_an_error(editor: Client) -> None:
    chat_session = make_session()
    page = Page.of(editor, change_url(chat_session))
    Session.objects.all().delete()
    page = page.press("_save", agent=make_agent("helper").pk)
    assert "Perhaps it was deleted?" in page.messages[0]
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_an_agent_that_is_deleted_while_it_is_assigned(editor: Client) -> None:
    agent = make_agent("helper")
    chat_session = make_session(name="Old")
    page = Page.of(editor, change_url(chat_session))
    with before_statement("FOR NO KEY UPDATE", lambda: elsewhere(agent.delete)):
        page = page.press("_save", name="New", agent=agent.pk)
    assert page.status == 200
    assert "This agent has just been deleted." in page.text
    assert not page.messages
    chat_session.refresh_from_db()
    assert (chat_session.name, chat_session.agent) == ("Old", None)


def test_an_update_that_finds_no_row_saves_nothing(editor: Client) -> None:
    chat_session = make_session(name="Old")
    agent = make_agent("helper")
    page = Page.of(editor, change_url(chat_session))
    # What the row's lock prevents, as far as it is taken.
    with before_statement('UPDATE "sessions"', lambda: Session.objects.all().delete()):
        page = page.press("_save", name="New", agent=agent.pk)
    assert page.url == LIST
    assert page.messages == ["Nothing was saved: the session has been deleted."]
    assert not Session.objects.filter(name="New").exists()
    assert not LogEntry.objects.exists()
