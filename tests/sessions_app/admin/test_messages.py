"""Messages in the admin: found by their words, and shown with their tools named."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.admin import messages
from sessions_app.models import Message, Session
from tests.factories import make_session, say
from tests.sessions_app.admin.helpers import Page, change_url, log_in, message_url, staff

MESSAGES = "/admin/sessions_app/message/"
CALL = {"tool_name": "calculator", "args": {"expression": "2+2"}, "tool_call_id": "c1"}
RESULT = {"content": "4", "tool_name": "calculator", "tool_call_id": "c1"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", "view_session", "view_message", "read_transcripts"))


def listed(page: Page) -> list[str]:
    """The texts of the messages that a list has."""
    urls = {link.partition("?")[0] for link in page.links}
    rows = Message.objects.order_by("created_at")
    return [row.text_content for row in rows if change_url(row) in urls]


def found(client: Client, query: str) -> list[str]:
    """The texts of the messages that a search lists."""
    return listed(Page.of(client, f"{MESSAGES}?q={query}"))


def test_search_finds_words_and_marks_them(reader: Client) -> None:
    chat_session = make_session()
    said = say(chat_session, "word " * 200 + "The <b>moon</b> is made of Cheese, they say.")
    say(chat_session, "Cheesecake")
    say(chat_session, "Nothing of the kind")
    page = Page.of(reader, f"{MESSAGES}?q=cheese+moon")
    assert listed(page) == [said.text_content]
    assert message_url(said) in page.links
    assert "&lt;b&gt;<mark>moon</mark>&lt;/b&gt; is made of <mark>Cheese</mark>" in page.html
    assert not page.problems
    assert found(reader, "chees") == [said.text_content, "Cheesecake"]
    assert found(reader, "%22made+of+cheese%22") == [said.text_content]
    assert found(reader, "moon+cake") == []


def test_the_list_shows_answers_without_their_markup(reader: Client) -> None:
    chat_session = make_session()
    say(chat_session, "I typed **this**")
    say(chat_session, "## Trams\n\n* Take the **28** [here](https://x.org)", role="assistant")
    page = Page.of(reader, MESSAGES)
    assert "Trams Take the 28 here" in page.text
    assert "I typed **this**" in page.text
    found = Page.of(reader, f"{MESSAGES}?q=28").html
    assert "Trams Take the <mark>28</mark> here" in found


@pytest.mark.parametrize("search", ["%21%3F", "%22"])
def test_search_without_a_word_says_so(reader: Client, search: str) -> None:
    say(make_session(), "Hello")
    page = Page.of(reader, f"{MESSAGES}?q={search}")
    assert page.messages == ["Enter a word with letters or digits."]
    assert page.status == 200


def test_search_within_a_session(reader: Client) -> None:
    here, _ = say(make_session(), "Hello here"), say(make_session(), "Hello there")
    assert found(reader, f"hello&session={here.session_id}") == ["Hello here"]


def test_search_leaves_out_the_trash(reader: Client) -> None:
    say(make_session(), "Cheese")
    trashed = make_session(trashed_at=timezone.now())
    say(trashed, "Old cheese")
    assert found(reader, "cheese") == ["Cheese"]
    assert found(reader, f"cheese&session={trashed.pk}") == ["Old cheese"]


def test_search_that_finds_too_many_says_so(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_session = make_session()
    for _ in range(3):
        say(chat_session, "Hello")
    monkeypatch.setattr(messages, "MATCHES", 2)
    page = Page.of(reader, f"{MESSAGES}?q=hello")
    assert "More than 2 messages have these words" in page.messages[0]
    assert len(listed(page)) == 2


@pytest.mark.parametrize(
    ("calls", "results"),
    [({"0": CALL}, {"0": RESULT}), ([CALL], [RESULT]), (CALL, RESULT)],
    ids=["as Automagik stores them", "a list", "one"],
)
def test_page_of_a_message_folds_its_tools_and_names_them(
    reader: Client, calls: Any, results: Any
) -> None:
    message = say(
        make_session(),
        "It is **four**.",
        role="assistant",
        tool_calls=calls,
        tool_outputs=results,
        raw_payload={"<b>": 1},
    )
    page = Page.of(reader, change_url(message))
    assert page.html.count("<summary>calculator</summary>") == 2
    assert "<details open" not in page.html
    assert "It is **four**." in page.text
    assert "&lt;b&gt;" in page.html
    assert message_url(message) in page.links
    assert not page.problems


def test_messages_need_the_permission_to_read_transcripts() -> None:
    message = say(make_session(), "Private")
    client = log_in(staff("clerk", "view_session", "view_message"))
    assert client.get(MESSAGES).status_code == 403
    assert client.get(change_url(message)).status_code == 403


@pytest.mark.parametrize("query", ["", "?q=hello"])
def test_list_takes_the_same_queries_for_1_message_and_100(reader: Client, query: str) -> None:
    say(make_session(), "Hello")

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            reader.get(f"{MESSAGES}{query}")
        return len(captured)

    queries()
    one = queries()
    sessions = Session.objects.bulk_create(Session(name=f"Chat {number}") for number in range(99))
    Message.objects.bulk_create(
        Message(session=row, position=1, role="user", text_content="Hello") for row in sessions
    )
    assert queries() == one
