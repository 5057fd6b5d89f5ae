"""A session's page in the admin: what was said, and how each run ended."""

import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.models import AgentRun, Feedback
from sessions_app.models import Message, Session, TranscriptReading
from sessions_app.writing import append_messages
from tests.agents_app.chats import answered, failed, make_agent, make_user
from tests.agents_app.web.helpers import html, queries
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import Page, change_url, log_in, staff

READ = ("view_session", "read_transcripts")

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", *READ))


def long_session(length: int) -> Session:
    chat_session = make_session()
    append_messages(
        Message(session_id=chat_session.pk, role="user", text_content=f"Text {number:05}")
        for number in range(1, length + 1)
    )
    return chat_session


def add_run(question: Message, **values: Any) -> AgentRun:
    values = {"status": AgentRun.Status.DONE, "finished_at": question.created_at, **values}
    return AgentRun.objects.create(session_id=question.session_id, message=question, **values)


def in_order(page: Page, *texts: str) -> bool:
    said = page.text[page.text.index("Facts and review") :]  # a name can be how it begins
    places = [said.index(text) for text in texts]
    return places == sorted(places)


# --- Who may read it -----------------------------------------------------------------


def test_without_the_permission_there_are_facts_and_nothing_that_was_said() -> None:
    run = failed(make_user(), "A secret", error="No credit left.")
    run.session.name, run.session.metadata = "Planning", {"key": "värde"}
    run.session.save()
    Feedback.objects.create(
        message=say(run.session, "An answer", role="assistant"), is_good=False, reason="Rubbish"
    )
    rights = ("view_session", "view_message", "view_agentrun", "review_session")
    client = log_in(staff("clerk", *rights))
    for query in ("", f"?message={run.message.pk}", "?at=1"):
        page = Page.of(client, change_url(run.session) + query)
        assert page.status == 200
        assert "private" in page.text
        assert "ana" in page.text
        assert "värde" in page.text
        for said in ("A secret", "As far as it", "credit", "An answer", "Rubbish"):
            assert said not in page.html
        assert "no such message" not in page.text
    assert not TranscriptReading.objects.exists()


def test_each_reading_is_recorded_once(reader: Client) -> None:
    chat_session = answered(make_user())
    for _ in range(2):
        Page.of(reader, change_url(chat_session))
    readings = TranscriptReading.objects.values_list("username", "session_id", "via")
    assert list(readings) == [("reader", chat_session.pk, "page")] * 2


def test_a_conversation_beside_a_refused_form_is_recorded_too() -> None:
    chat_session = answered(make_user(), "A secret")
    editor = log_in(staff("editor", "view_session", "change_session", "read_transcripts"))
    page = Page.of(editor, change_url(chat_session))
    TranscriptReading.objects.all().delete()
    page = page.press("_save", name="a\0b")
    assert "A secret" in page.text
    assert TranscriptReading.objects.get().session_id == chat_session.pk


def test_a_session_without_messages_is_not_read(reader: Client) -> None:
    assert "no messages" in Page.of(reader, change_url(make_session())).text
    assert not TranscriptReading.objects.exists()


# --- What is shown -------------------------------------------------------------------


def test_answers_are_markdown_and_what_people_say_is_text(reader: Client) -> None:
    chat_session = answered(make_user(), "<b>Hi</b> *there*", "**Bold**\n\n<script>x()</script>")
    page = Page.of(reader, change_url(chat_session))
    assert "&lt;b&gt;Hi&lt;/b&gt; *there*" in page.html
    assert "<strong>Bold</strong>" in page.html
    assert "<script>x" not in page.html
    assert not page.problems


@pytest.mark.parametrize("form", ["list", "numbered"])
def test_tool_calls_are_named_and_have_their_results(reader: Client, form: str) -> None:
    calls: Any = [
        {"tool_name": "<i>adder</i>", "args": '{"a": 1}', "tool_call_id": "x"},
        {"tool_name": "clock", "args": {}, "tool_call_id": "y"},
    ]
    outputs: Any = [
        {"tool_name": "clock", "content": "noon", "tool_call_id": "y"},
        {"tool_name": "other", "content": "late", "tool_call_id": "z"},
    ]
    if form == "numbered":  # as Automagik stores them
        calls, outputs = ({str(n): entry for n, entry in enumerate(c)} for c in (calls, outputs))
    chat_session = make_session()
    say(chat_session, "So.", role="assistant", tool_calls=calls, tool_outputs=outputs)
    page = Page.of(reader, change_url(chat_session))
    assert "Tool call: <strong>&lt;i&gt;adder&lt;/i&gt;</strong>" in page.html
    shown = ("adder", '"a": 1', "clock", "noon", "Tool result: other", "late", "So.")
    assert in_order(page, *shown)
    assert not page.problems


def test_a_result_that_is_a_message_of_its_own_is_shown_with_its_call(reader: Client) -> None:
    chat_session = make_session()
    call = {"tool_name": "clock", "args": {"zone": "UTC"}, "tool_call_id": "x"}
    output = {"tool_name": "clock", "content": "It is noon", "tool_call_id": "x"}
    say(chat_session, "", role="assistant", tool_calls=[call])
    say(chat_session, "", role="tool", tool_outputs=[output])
    say(chat_session, "", role="tool", tool_outputs=[{**output, "tool_call_id": "y"}])
    page = Page.of(reader, change_url(chat_session))
    with_call = ("Tool call: clock", '"zone": "UTC"', "It is noon", "shown with the call above")
    assert in_order(page, *with_call, "Tool result: clock")
    assert page.html.count("<pre") == 3


def test_tools_in_no_known_form_are_shown_as_they_are(reader: Client) -> None:
    chat_session = make_session()
    say(chat_session, "So.", role="assistant", tool_calls="abc", tool_outputs=[1, 2])
    page = Page.of(reader, change_url(chat_session))
    assert in_order(page, "Tool call", "abc")


def test_each_run_stands_in_its_place_with_its_outcome(reader: Client) -> None:
    run = failed(make_user(), "First question", error="<b>No</b> credit left.\nTraceback: x")
    second = add_run(
        run.message,
        model="openai:gpt-4.1-mini",
        input_tokens=1200,
        output_tokens=34,
        cost=Decimal("0.000700"),
        first_token_at=run.created_at + timedelta(seconds=1),
        created_at=run.created_at + timedelta(seconds=0.5),
        finished_at=run.created_at + timedelta(seconds=3),
    )
    say(run.session, "The answer", role="assistant", run=second)
    say(run.session, "Second question")
    page = Page.of(reader, change_url(run.session))
    first = ("First question", "As far as it", "Failed", "<b>No</b> credit left.", "Traceback: x")
    outcome = ("Done", "gpt-4.1-mini", "2.50 s", "first token 0.50 s", "1,200 tokens in, 34 out")
    assert in_order(page, *first, "The answer", *outcome, "$0.0007", "Second question")
    assert "&lt;b&gt;No&lt;/b&gt;" in page.html
    assert change_url(run) not in page.links
    page = Page.of(log_in(staff("second", *READ, "view_agentrun")), change_url(run.session))
    assert change_url(run) in page.links


def test_each_attempt_is_shown_in_order(reader: Client) -> None:
    run = failed(make_user(), error="Error one")
    for number in ("two", "three"):
        add_run(run.message, status=AgentRun.Status.INTERRUPTED, error=f"Error {number}")
    page = Page.of(reader, change_url(run.session))
    assert in_order(page, "Error one", "Error two", "Error three")


def test_an_answer_that_names_no_run_comes_before_the_outcome(reader: Client) -> None:
    page = Page.of(reader, change_url(answered(make_user(), "Question?", "Answer!")))
    assert in_order(page, "Question?", "Answer!", "Done")


def test_versions_set_aside_are_folded_and_in_their_place(reader: Client) -> None:
    chat_session = answered(make_user(), "Old question", "Old answer")
    chat_session.messages.update(set_aside_with=uuid.uuid4())
    say(chat_session, "New question")
    page = Page.of(reader, change_url(chat_session))
    heading = "Another version: 2 messages"
    assert in_order(page, heading, "Old question", "Old answer", "Done", "New question")
    assert '<details class="set-aside">' in page.html
    old = chat_session.messages.get(text_content="Old answer")
    page = Page.of(reader, f"{change_url(chat_session)}?message={old.pk}")
    assert '<details class="set-aside" open>' in page.html


def test_what_the_user_thinks_of_an_answer_stands_below_it(reader: Client) -> None:
    ana = make_user()
    chat_session = answered(ana)
    answer = chat_session.messages.get(role="assistant")
    Feedback.objects.create(message=answer, user=ana, is_good=False, reason="Too short")
    page = Page.of(reader, change_url(chat_session))
    assert "ana: bad answer, “Too short”" in page.text


def test_raw_data_is_linked_for_those_who_may_see_it() -> None:
    message = say(make_session(), "Hello")
    plain = Page.of(log_in(staff("plain", *READ)), change_url(message.session))
    assert change_url(message) not in plain.links
    page = Page.of(log_in(staff("full", *READ, "view_message")), change_url(message.session))
    assert change_url(message) in page.links


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (phantom, "The next cleanup will remove it"),
        (make_session, "A cleanup keeps it: named by a person; platform web."),
    ],
)
def test_a_sentence_says_whether_it_is_removable(reader: Client, make: Any, sentence: str) -> None:
    page = Page.of(reader, change_url(make()))
    assert sentence in page.text
    assert "This session has no messages." in page.text


# --- Long conversations --------------------------------------------------------------


def test_a_long_conversation_is_read_page_by_page_both_ways(reader: Client) -> None:
    chat_session = long_session(120)
    page = Page.of(reader, change_url(chat_session))
    assert "Messages 71 to 120 of 120" in page.text
    assert "Text 00070" not in page.html
    assert in_order(page, "Text 00071", "Text 00120")
    steps = [
        ("before=71", "21 to 70"),
        ("before=21", "1 to 20"),
        ("after=20", "21 to 70"),
        ("after=70", "71 to 120"),
    ]
    for query, shown in steps:
        assert any(query in link for link in page.links)
        page = Page.of(reader, f"{change_url(chat_session)}?{query}")
        assert f"Messages {shown} of 120" in page.text, query
    assert "Messages 1 to 50 of" in Page.of(reader, f"{change_url(chat_session)}?after=0").text
    assert "Messages 30 to 79 of" in Page.of(reader, f"{change_url(chat_session)}?at=30").text


@pytest.mark.parametrize("query", ["at=x", "at=-5", "at=9" * 9, "before=0", "after=500", "at="])
def test_a_nonsensical_place_is_harmless(reader: Client, query: str) -> None:
    page = Page.of(reader, f"{change_url(long_session(60))}?{query}")
    assert page.status == 200
    assert "of 60" in page.text


def test_a_link_to_a_message_opens_its_page_and_marks_it(reader: Client) -> None:
    chat_session = long_session(120)
    message = chat_session.messages.get(position=40)
    page = Page.of(reader, f"{change_url(chat_session)}?message={message.pk}")
    assert "Messages 15 to 64 of 120" in page.text
    assert 'class="message user linked" id="m40"' in page.html
    assert any(f"message={message.pk}#m40" in link for link in page.links)


@pytest.mark.parametrize("unknown", ["x", "", str(uuid.uuid4()), "of another session"])
def test_a_link_to_a_message_that_is_not_there(reader: Client, unknown: str) -> None:
    if unknown == "of another session":
        unknown = str(say(make_session()).pk)
    page = Page.of(reader, f"{change_url(long_session(60))}?message={unknown}")
    assert "Messages 11 to 60 of 60" in page.text
    assert ("no such message" in page.text) is bool(unknown)


def test_a_page_costs_the_same_number_of_queries_for_1_message_and_for_50(client: Client) -> None:
    client.force_login(User.objects.create_superuser("root"))
    agent, ana = make_agent(), make_user()
    chat_session = answered(ana)
    url = change_url(chat_session)
    client.get(url)
    few = queries(lambda: client.get(url))
    for number in range(60):
        message = say(chat_session, user=ana)
        run = add_run(message, agent=agent, error="None")
        answer = say(chat_session, f"**{number}**", role="assistant", agent=agent, run=run)
        Feedback.objects.create(message=answer, user=ana, is_good=True)
    assert queries(lambda: client.get(url)) == few < 20
    assert html(client.get(url)).count('role="group" aria-label="Run: Done"') == 25
    assert queries(lambda: client.get(f"{url}?at=30")) == few
    linked = f"{url}?message={chat_session.messages.get(position=30).pk}"
    assert queries(lambda: client.get(linked)) == few + 1


def test_a_page_of_very_long_messages_is_shown_without_markup(reader: Client) -> None:
    chat_session = make_session()
    for _ in range(5):
        say(chat_session, "**a** " * 8_000, role="assistant")
    page = Page.of(reader, change_url(chat_session))
    assert page.html.count("<strong>a</strong>") == 3 * 8_000
    assert page.html.count("**a**") == 2 * 8_000
