"""The list and long chats: what is shown, and what it costs."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, ask, make_user
from tests.agents_app.views.helpers import (
    chat_url,
    html,
    queries,
    run_url,
)
from tests.concurrency.helpers import before_statement, elsewhere
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db(transaction=True)


def test_list_shows_own_chats_last_used_first(page: Client, user: User) -> None:
    now = timezone.now()
    for hours in (2, 1, 3):
        used = now - timedelta(hours=hours)
        make_session(user=user, name=f"{hours} hours ago", created_at=used)
    make_session(user=make_user("bo"), name="Somebody else's")
    phantom(user=user)
    names = re.findall(r'class="name">([^<]+)', html(page.get("/chats/")))
    assert names == ["1 hours ago", "2 hours ago", "3 hours ago"]


def test_search_looks_at_names_and_words(page: Client, user: User) -> None:
    answered(user, "About boats", "They float")
    answered(user, "About trains", "They 100% roll")
    other = make_session(user=make_user("bo"), name="About boats too")
    say(other, "boats")

    def found(query: str) -> list[str]:
        page_html = html(page.get("/chats/", {"q": query}))
        return sorted(re.findall(r'class="name">([^<]+)', page_html))

    assert found("BOATS") == ["About boats"]
    assert found("roll") == ["About trains"]
    assert found("0%") == ["About trains"]
    assert found("about") == ["About boats", "About trains"]
    assert found("_") == []
    assert "NUL" in html(page.get("/chats/", {"q": "a\0b"}))
    assert "at most 200 characters" in html(page.get("/chats/", {"q": "x" * 201}))
    assert "mentions “nowhere”" in html(page.get("/chats/", {"q": "nowhere"}))


def test_list_shows_the_last_words_without_marks(page: Client, user: User) -> None:
    answered(
        user, "Hello", "# Title\n\nSome **bold** `code` <b>x</b> [link](https://x)\n\n- one\n- two"
    )
    shown = re.findall(r'class="preview">([^<]+)', html(page.get("/chats/")))
    assert shown == ["Title Some bold code &lt;b&gt;x&lt;/b&gt; link one two"]


def test_list_says_who_is_answering(page: Client, user: User) -> None:
    ask(user)
    assert "Answering" in html(page.get("/chats/"))
    AgentRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert "Answering" in html(page.get("/chats/")), "a read presumes nobody dead"
    assert AgentRun.objects.mark_presumed_dead() == 1
    assert "Answering" not in html(page.get("/chats/")), "its process has died"


def test_looking_writes_nothing(page: Client, user: User) -> None:
    """Not even when a process has died: who notices that is agents_app.liveness."""
    run = ask(user)
    AgentRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    with CaptureQueriesContext(connection) as captured:
        page.get("/chats/")
        page.get(chat_url(run.session))
        page.get(run_url(run, "chat-events"))  # its events are only read later
    statements = [query["sql"].split()[0] for query in captured]
    assert len(statements) > 5
    assert set(statements) == {"SELECT"}


def test_list_is_paged(page: Client, user: User) -> None:
    start = timezone.now()
    for number in range(31):
        at = start - timedelta(minutes=number)
        make_session(user=user, name=f"Chat {number}", created_at=at)
    first = html(page.get("/chats/", {"q": "chat"}))
    assert "Chat 29<" in first
    assert "Chat 30<" not in first
    assert "?q=chat&amp;page=2" in first
    second = html(page.get("/chats/?q=chat&page=2"))
    assert re.findall(r'class="name">([^<]+)', second) == ["Chat 30"]
    assert page.get("/chats/?page=9").status_code == 200
    assert page.get("/chats/?page=x").status_code == 200


def test_list_takes_the_same_queries_however_many_chats(page: Client, user: User) -> None:
    answered(user)
    few = queries(lambda: page.get("/chats/"))
    for _ in range(8):
        answered(user)
    # The login's session, the user, the agents to choose from, the chats.
    assert few == queries(lambda: page.get("/chats/")) == 4
    assert queries(lambda: page.get("/chats/?q=e")) == 3, "without the form for a new chat"


def fill(chat_session: Session, count: int) -> None:
    Message.objects.bulk_create(
        Message(
            session=chat_session,
            position=number,
            role="user" if number % 2 else "assistant",
            text_content=f"Message {number}.",
        )
        for number in range(1, count + 1)
    )


def shown_messages(response: Any) -> list[int]:
    return [int(number) for number in re.findall(r"Message (\d+)\.", html(response))]


def test_older_messages_come_as_needed(page: Client, user: User, agent: Agent) -> None:
    chat_session = make_session(user=user, agent=agent)
    fill(chat_session, 120)
    url = chat_url(chat_session)
    assert shown_messages(page.get(url)) == list(range(71, 121))
    assert f"{url}?before=71" in html(page.get(url))

    whole = page.get(f"{url}?before=71")
    assert shown_messages(whole) == list(range(21, 71))
    assert "<html" in html(whole)
    fragment = page.get(f"{url}?before=21&fragment=on")
    assert shown_messages(fragment) == list(range(1, 21))
    assert "<html" not in html(fragment)
    assert "data-older" not in html(fragment)
    for nonsense in ("0", "-1", "x", "9" * 30):
        assert page.get(f"{url}?before={nonsense}").status_code == 404


def test_long_chat_takes_as_few_queries_as_a_short_one(page: Client, user: User) -> None:
    chat_session = answered(user)
    short = queries(lambda: page.get(chat_url(chat_session)))
    Message.objects.all().delete()
    fill(chat_session, 10_000)
    # The login's session, the user, the chat with its agent, its messages, their runs.
    assert short == queries(lambda: page.get(chat_url(chat_session))) == 5


def test_answer_that_comes_while_the_page_is_made(page: Client, user: User) -> None:
    """The messages are read before the runs: a run that ends in between has its answer shown."""
    run = ask(user)

    def end() -> None:
        say(run.session, "Just in time.", role="assistant")
        run.finish(AgentRun.Status.DONE)

    with before_statement('FROM "agent_runs"', lambda: elsewhere(end)):
        shown = html(page.get(chat_url(run.session)))
    assert "Just in time." in shown
    assert "data-events" not in shown


def test_tools_and_instructions_are_folded_up(page: Client, user: User) -> None:
    chat_session = answered(user)
    say(chat_session, "Be nice", role="system")
    call = {"tool_name": "weather", "args": {"city": "São Paulo"}}
    say(chat_session, "", role="assistant", tool_calls=[call])
    say(chat_session, "<i>25°</i>", role="tool", tool_outputs=[{"tool_name": "weather"}])
    shown = html(page.get(chat_url(chat_session)))
    assert shown.count('<details class="tool">') == 4
    assert "<summary>Used a tool: weather</summary>" in shown
    assert "São Paulo" in shown
    assert "&lt;i&gt;25°&lt;/i&gt;" in shown


CALL = {"tool_name": "weather", "args": {"city": "Lisbon"}, "tool_call_id": "c"}
RESULT = {"tool_name": "weather", "content": "25°", "tool_call_id": "c"}


@pytest.mark.parametrize(
    ("calls", "results"),
    [
        ({"0": CALL, "1": {**CALL, "tool_name": "map"}}, {"0": RESULT}),
        ([CALL, {"name": "map"}], [RESULT]),
        ([CALL, {"tool_name": "map"}, "nonsense", {"args": 1}], RESULT),
    ],
)
def test_tools_stand_with_their_names_before_the_answer_that_rests_on_them(
    page: Client, user: User, calls: Any, results: Any
) -> None:
    chat_session = answered(user)
    say(chat_session, "It is warm.", role="assistant", tool_calls=calls, tool_outputs=results)
    shown = html(page.get(chat_url(chat_session)))
    places = [
        shown.index("<summary>Used a tool: weather, map</summary>"),
        shown.index("<summary>Tool result: weather</summary>"),
        shown.index("It is warm."),
    ]
    assert places == sorted(places)


def test_a_call_that_came_after_a_text_stands_after_it(page: Client, user: User) -> None:
    chat_session = answered(user)
    say(chat_session, "Let me see.", role="assistant", tool_calls=CALL)
    shown = html(page.get(chat_url(chat_session)))
    assert shown.index("Let me see.") < shown.index("<summary>Used a tool: weather</summary>")


def test_the_tools_of_an_imported_chat_have_their_names(client: Client) -> None:
    call_command("load_demo", stdout=StringIO())
    used = Message.objects.filter(tool_calls__has_key="0", session__user__isnull=False)
    message = used.select_related("session__user").earliest("pk")
    assert message.session.user is not None
    client.force_login(message.session.user)
    shown = html(client.get(chat_url(message.session)))
    assert "<summary>Used a tool: calculator</summary>" in shown
    assert "<summary>Used a tool:</summary>" not in shown
    assert shown.index("Tool result: calculator") < shown.index(f'id="m{message.position}"')


@pytest.mark.parametrize("column", ["tool_calls", "tool_outputs"])
def test_a_lone_surrogate_is_shown_escaped(page: Client, user: User, column: str) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL stores none.")
    chat_session = answered(user)
    for value in ([{"tool_name": "f\ud800", "args": "a\udfff"}], "just\ud800"):
        stored: dict[str, Any] = {column: value}
        say(chat_session, role="tool", **stored)
    shown = html(page.get(chat_url(chat_session)))
    assert "f\\ud800" in shown
    assert "a\\udfff" in shown
    assert "just\\ud800" in shown
