"""The list and long chats: what they show, and how many queries they take."""

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
from tests.agents_app.chats import answered, ask
from tests.agents_app.web.helpers import (
    chat_url,
    html,
    queries,
    run_url,
)
from tests.concurrency.helpers import before_statement, elsewhere
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db(transaction=True)


def test_list_says_who_is_answering(page: Client, user: User) -> None:
    ask(user)
    assert "is being answered" in html(page.get("/chats/"))
    AgentRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5), process_id=None)
    assert "is being answered" in html(page.get("/chats/")), "a read changes nothing"
    assert AgentRun.objects.interrupt_presumed_dead() == 1
    assert "is being answered" not in html(page.get("/chats/")), "its process has died"


def test_looking_writes_nothing(page: Client, user: User) -> None:
    """Not even when a process has died: who notices that is agents_app.runs.liveness."""
    run = ask(user)
    AgentRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5), process_id=None)
    with CaptureQueriesContext(connection) as captured:
        page.get("/chats/")
        page.get(chat_url(run.session))
        page.get(run_url(run, "chat-events"))  # its events are only read later
    statements = [query["sql"].split()[0] for query in captured]
    assert len(statements) > 5
    assert set(statements) == {"SELECT"}


def test_list_takes_the_same_queries_however_many_chats(page: Client, user: User) -> None:
    answered(user)
    few = queries(lambda: page.get("/chats/"))
    for _ in range(8):
        answered(user)
    # The login's session, the user, the agents to choose from, the sidebar's chats, those pinned.
    assert few == queries(lambda: page.get("/chats/")) == 5


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
        assert page.get(f"{url}?at={nonsense}").status_code == 404


def test_a_message_is_shown_with_what_is_around_it(page: Client, user: User, agent: Agent) -> None:
    chat_session = make_session(user=user, agent=agent)
    fill(chat_session, 120)
    url = chat_url(chat_session)
    around = page.get(f"{url}?at=40")
    assert shown_messages(around) == list(range(15, 65))
    assert 'id="m40"' in html(around)
    assert f"{url}?before=15" in html(around)
    assert f"{url}?after=64" in html(around)
    assert "data-message-form" not in html(around), "the chat goes on elsewhere"

    after = page.get(f"{url}?after=64")
    assert shown_messages(after) == list(range(65, 115))
    assert f"{url}?before=65" in html(after)
    assert f"{url}?after=114" in html(after)
    last = page.get(f"{url}?after=114")
    assert shown_messages(last) == list(range(115, 121))
    assert "?after=" not in html(last)
    assert "data-message-form" in html(last)

    assert shown_messages(page.get(f"{url}?at=1")) == list(range(1, 26))
    before = html(page.get(f"{url}?before=1"))
    assert "?after=0" in before, "nothing is before the first"
    assert "There are no messages here." in before
    for place in ("after=2000000", "after=2000000&fragment=on"):
        assert page.get(f"{url}?{place}")["Location"] == url
    near_the_end = html(page.get(f"{url}?at=110"))
    assert "data-message-form" in near_the_end
    assert "?after=" not in near_the_end
    fragment = html(page.get(f"{url}?before=15&fragment=on"))
    assert "?after=" not in fragment


def test_a_whole_chat_is_on_the_page_for_printing(
    page: Client, user: User, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_session = make_session(user=user, agent=agent)
    fill(chat_session, 120)
    url = chat_url(chat_session)
    assert f"{url}?all=on" in html(page.get(url))
    shown = page.get(f"{url}?all=on")
    assert shown_messages(shown) == list(range(1, 121))
    assert "data-message-form" not in html(shown)
    assert "the latest messages only" not in html(shown)
    monkeypatch.setattr("agents_app.web.chat_pages.PRINTED_MESSAGES", 100)
    shown = page.get(f"{url}?all=on")
    assert shown_messages(shown) == list(range(21, 121))
    assert "the latest messages only" in html(shown)
    assert "?before=" not in html(shown)


def test_long_chat_takes_as_few_queries_as_a_short_one(page: Client, user: User) -> None:
    chat_session = answered(user)
    short = queries(lambda: page.get(chat_url(chat_session)))
    Message.objects.all().delete()
    fill(chat_session, 10_000)
    # The login's session, the user, the chat with its agent, its messages, their runs, other
    # versions of answers and of questions, the agents that it can go on with, the sidebar's
    # chats, those pinned.
    assert short == queries(lambda: page.get(chat_url(chat_session))) == 10


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
        pytest.skip("PostgreSQL refuses lone surrogates, so that none can be stored to be shown.")
    chat_session = answered(user)
    for value in ([{"tool_name": "f\ud800", "args": "a\udfff"}], "just\ud800"):
        stored: dict[str, Any] = {column: value}
        say(chat_session, role="tool", **stored)
    shown = html(page.get(chat_url(chat_session)))
    assert "f\\ud800" in shown
    assert "a\\udfff" in shown
    assert "just\\ud800" in shown
