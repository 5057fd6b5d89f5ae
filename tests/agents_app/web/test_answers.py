"""What the page says about an answer: reasoning, limits, where the agent's context begins."""

import re
from datetime import timedelta
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from pydantic_ai.messages import ModelResponse, TextPart, ThinkingPart, ToolCallPart

from agents_app.conversation import codec
from agents_app.models import AgentRun, RunFacts, RunStatus
from sessions_app.models import Message, Session
from sessions_app.writing import append_messages
from tests.agents_app.chats import answered, ask, failed, make_agent
from tests.agents_app.web.helpers import chat_url, html, queries, read_events, run_url
from tests.factories import say

pytestmark = pytest.mark.django_db(transaction=True)

NO_LONGER = "The agent no longer sees the messages above."
CUT_OFF = "The answer reached the length limit."


def answer_with(run: AgentRun, *responses: ModelResponse) -> list[Message]:
    rows = codec.to_rows(responses)
    for row in rows:
        row.session, row.user, row.agent, row.run = run.session, run.user, run.agent, run
    append_messages(rows)
    run.finish(AgentRun.Status.DONE)
    return rows


def add_turn(chat_session: Session, user: User, text: str, **facts: int | bool) -> AgentRun:
    """Another turn of the chat, with facts about its run."""
    question = say(chat_session, text, role="user", agent=chat_session.agent, user=user)
    run = AgentRun.objects.create(
        session=chat_session, message=question, agent=chat_session.agent, user=user
    )
    values = {"role": "assistant", "agent": chat_session.agent, "user": user, "run": run}
    say(chat_session, f"About {text}", **values)
    run.finish(AgentRun.Status.DONE, facts=RunFacts(**facts))  # type: ignore[arg-type]
    return run


def test_reasoning_is_folded_before_the_answer(page: Client, user: User) -> None:
    run = ask(user)
    thought = ThinkingPart('<b>Hm</b> "part_kind": "text"')
    answer_with(run, ModelResponse([thought, ThinkingPart("So."), TextPart("Good day")]))
    shown = html(page.get(chat_url(run.session)))
    assert shown.count('<details class="reasoning">') == 1
    assert "&lt;b&gt;Hm&lt;/b&gt;" in shown
    places = [shown.index(what) for what in ('class="message theirs"', "So.", "Good day")]
    assert places == sorted(places), "it comes after the agent's name"
    row = run.session.messages.get(role="assistant")
    assert row.text_content == "Good day", "it is no part of the text"
    _, events = read_events(user, "get", run_url(run, "chat-events"))
    assert "reasoning" in events[-1]
    assert not [event for event in events[:-1] if "So." in event], "nor of what is streamed"


def test_reasoning_before_a_tool_call(page: Client, user: User) -> None:
    run = ask(user)
    answer_with(
        run,
        ModelResponse([ThinkingPart("Look it up."), ToolCallPart("search", {}, "a")]),
        ModelResponse([TextPart("Found."), ThinkingPart("Done.")]),
    )
    shown = html(page.get(chat_url(run.session)))
    assert shown.index("Look it up.") < shown.index("Used a tool") < shown.index("Done.")
    assert shown.count('<details class="reasoning">') == 2


def test_text_about_reasoning_is_none(page: Client, user: User) -> None:
    run = ask(user)
    answer_with(run, ModelResponse([TextPart('{"part_kind": "thinking"}')]))
    shown = html(page.get(chat_url(run.session)))
    assert "Reasoning" not in shown


def test_reasoning_costs_no_further_query(page: Client, user: User) -> None:
    bare, deep = ask(user), ask(user)
    answer_with(bare, ModelResponse([TextPart("Good day")]))
    thoughts = [ModelResponse([ThinkingPart("Hm"), TextPart(f"A{n}")]) for n in range(10)]
    answer_with(deep, *thoughts)
    counts = [queries(partial(page.get, chat_url(run.session))) for run in (bare, deep)]
    assert counts[0] == counts[1]


def test_answer_at_the_token_limit_says_so(page: Client, user: User) -> None:
    chat_session = answered(user)
    assert CUT_OFF not in html(page.get(chat_url(chat_session)))
    run = add_turn(chat_session, user, "more", truncated=True)
    shown = html(page.get(chat_url(chat_session)))
    assert shown.count(CUT_OFF) == 1
    assert run_url(run, "chat-continue") in shown
    _, events = read_events(user, "get", run_url(run, "chat-events"))
    assert CUT_OFF in events[-1]


def test_place_where_the_context_begins(page: Client, user: User) -> None:
    chat_session = answered(user, "First")
    add_turn(chat_session, user, "second")
    third = add_turn(chat_session, user, "third", context_from=3)
    shown = html(page.get(chat_url(chat_session)))
    assert shown.count(NO_LONGER) == 1
    assert shown.index("Hi!") < shown.index(NO_LONGER) < shown.index('id="m3"')
    _, events = read_events(user, "get", run_url(third, "chat-events"))
    assert 'data-context-from=\\"3\\"' in events[-1]

    add_turn(chat_session, user, "short")
    assert NO_LONGER not in html(page.get(chat_url(chat_session))), "the last run counts"
    add_turn(chat_session, user, "long", context_from=1)
    assert NO_LONGER not in html(page.get(chat_url(chat_session))), "nothing is above"


def test_context_that_begins_on_an_older_page(page: Client, user: User) -> None:
    chat_session = answered(user, "First")
    for number in range(30):
        add_turn(chat_session, user, f"Q{number}", context_from=3)
    assert NO_LONGER not in html(page.get(chat_url(chat_session)))
    older = html(page.get(f"{chat_url(chat_session)}?before=13"))
    assert older.count(NO_LONGER) == 1
    assert older.index("Hi!") < older.index(NO_LONGER) < older.index('id="m3"')
    start = html(page.get(f"{chat_url(chat_session)}?before=52"))
    assert NO_LONGER in start
    latest, older = chat_url(chat_session), f"{chat_url(chat_session)}?before=13"
    assert queries(lambda: page.get(older)) == queries(lambda: page.get(latest)) + 1


def test_people_do_not_see_what_is_for_staff(page: Client, user: User) -> None:
    run = failed(user, error="The model is not set up. Staff have been notified.\nSet AGENT_MODEL.")
    shown = html(page.get(chat_url(run.session)))
    assert "The model is not set up. Staff have been notified." in shown
    assert "AGENT_MODEL" not in shown


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.STOPPED])
@pytest.mark.parametrize("text", ["", "As far as it"])
def test_an_answer_that_ended_early_has_its_agents_name(
    page: Client, user: User, status: RunStatus, text: str
) -> None:
    run, name = ask(user, agent=make_agent("poet")), 'dir="auto">poet</span>'
    run.finish(status, text=text, error="It is out of order.")
    shown = html(page.get(chat_url(run.session)))
    [answer] = re.findall(r"<div class=\"answer\".*?<div class=\"bottom\">", shown, re.DOTALL)
    assert answer.count(name) == 1
    says = "Stopped" if status == RunStatus.STOPPED else "It is out of order."
    assert answer.index(name) < answer.index(says)


def test_numbers_stay_the_same_when_the_answer_is_stored(page: Client, user: User) -> None:
    table = "| a |\n|---|\n| 1 |\n\n"
    run = ask(user)
    AgentRun.objects.filter(pk=run.pk).update(status=AgentRun.Status.RUNNING, text=table)
    while_written = table_names(page, run.session)
    answer_with(run, ModelResponse([TextPart(table)]))
    assert table_names(page, run.session) == while_written == ["Table 1-1"]
    question = say(run.session, "More", role="user", agent=run.agent, user=user)
    say(run.session, table, role="assistant", run=AgentRun.objects.get(), agent=run.agent)
    assert question.position == 3
    names = table_names(page, run.session)
    assert names == ["Table 1-1", "Table 3-1"]
    older = re.findall(r"Table [\d-]+", html(page.get(f"{chat_url(run.session)}?before=2")))
    newer = re.findall(r"Table [\d-]+", html(page.get(f"{chat_url(run.session)}?after=1")))
    assert [*older, *newer] == names, "also where the question is on another page"


def table_names(page: Client, chat_session: Session) -> list[str]:
    return re.findall(r"Table [\d-]+", html(page.get(chat_url(chat_session))))


def test_a_waiting_answer_says_its_place_without_a_script(page: Client, user: User) -> None:
    runs = [ask(user) for _ in range(3)]
    first, *_, last = runs
    assert "Thinking…" in html(page.get(chat_url(last.session))), "it is about to start"
    for number, run in enumerate(runs):
        created_at = timezone.now() - timedelta(seconds=60 - number)
        AgentRun.objects.filter(pk=run.pk).update(created_at=created_at)
    assert "Next in line:" in html(page.get(chat_url(first.session)))
    assert "Waiting in line behind 2 other answers." in html(page.get(chat_url(last.session)))
    AgentRun.objects.update(status=RunStatus.RUNNING)
    assert "Thinking…" in html(page.get(chat_url(last.session)))
