"""Runs in the admin: what they took, how they ended, and the way to what was said."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents_app.admin import run_changelist
from agents_app.models import AgentRun
from agents_app.runs import storage
from sessions_app.admin.formatting import dollars
from sessions_app.models import Message, Session, TranscriptReading
from tests.agents_app.chats import answered, ask, failed, make_user
from tests.sessions_app.admin.helpers import Page, change_url, log_in, message_url, staff

RUNS = "/admin/agents_app/agentrun/"
READER = ("view_agentrun", "view_session", "view_message", "read_transcripts")

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", *READER))


def done(user: User, **values: Any) -> AgentRun:
    """A run that took two seconds, the first of which until its first token."""
    run = answered(user).runs.get()
    started = timezone.now() - timedelta(minutes=1)
    values = {
        "created_at": started,
        "first_token_at": started + timedelta(seconds=1),
        "finished_at": started + timedelta(seconds=2),
        "model": "openai:gpt-4.1-mini",
        "input_tokens": 1234,
        "output_tokens": 56,
        "cost": Decimal("0.001500"),
        **values,
    }
    AgentRun.objects.filter(pk=run.pk).update(**values)
    run.refresh_from_db()
    return run


def presumed_dead(user: User) -> AgentRun:
    run = ask(user)
    AgentRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    return run


def listed(client: Client, query: str = "") -> list[uuid.UUID]:
    """The runs on a page of the list, in its order."""
    links = Page.of(client, f"{RUNS}?{query}").links
    keys = [link.removeprefix(RUNS).partition("/")[0] for link in links if link.startswith(RUNS)]
    return [uuid.UUID(key) for key in keys if len(key) == 36]


def test_list_shows_what_runs_took(reader: Client) -> None:
    run = done(make_user())
    page = Page.of(reader, RUNS)
    for text in ("Done", "openai:gpt-4.1-mini", "1,234", "56", "$0.0015", "1.00 s", "2.00 s"):
        assert text in page.text
    assert message_url(run.message) in page.links
    assert not page.problems


def test_page_of_a_run_says_when_it_was_started(reader: Client) -> None:
    run = done(make_user(), started_at=datetime(2026, 3, 1, 14, 7, 12, tzinfo=UTC))
    assert "Started at: 2026-03-01 14:07" in Page.of(reader, change_url(run)).text


def test_list_shows_how_a_session_begins_that_nobody_has_named(reader: Client) -> None:
    run = done(make_user())
    name = f"Session-{uuid.uuid4()}"
    Session.objects.update(name=name)
    Message.objects.filter(role="user").update(text_content="Where is\nthe harbour?")
    page = Page.of(reader, RUNS)
    assert f'title="Where is the harbour? ({name})">Where is the harbour?</a>' in page.html
    assert message_url(run.message) in page.links
    [reading] = TranscriptReading.objects.all()
    assert reading.via == "list of runs"
    clerk = log_in(staff("clerk", "view_agentrun", "view_session"))
    page = Page.of(clerk, RUNS)
    assert name in page.text
    assert "harbour" not in page.html
    Page.of(log_in(staff("other", "view_agentrun", "read_transcripts")), RUNS)
    assert TranscriptReading.objects.count() == 1, "without sessions, nothing of them is shown"


def test_page_of_a_run_links_to_its_question_and_its_answer(reader: Client) -> None:
    run = ask(make_user(), "Where is it?")
    answer = Message(role="assistant", text_content="It is over there.")
    assert storage.store_answer(run, 0, [answer])
    page = Page.of(reader, change_url(run))
    assert {message_url(run.message), message_url(answer)} <= set(page.links)
    assert "Where is it?" in page.text
    assert "It is over there." in page.text
    assert not page.problems


def test_opening_a_run_with_what_was_said_is_logged() -> None:
    clerk, reader = log_in(staff("clerk", "view_agentrun")), log_in(staff("reader", *READER))
    run = failed(make_user())
    Page.of(clerk, change_url(run))
    assert not TranscriptReading.objects.exists()
    Page.of(reader, change_url(run))
    [reading] = TranscriptReading.objects.all()
    assert (reading.username, reading.session_id) == ("reader", run.session_id)
    assert reading.via == "run"


def test_a_list_with_errors_is_logged_once_with_its_filters(reader: Client) -> None:
    ana = make_user()
    done(ana)
    Page.of(reader, RUNS)
    assert not TranscriptReading.objects.exists()
    for _ in range(2):
        failed(ana, error="The provider says: “A very private question”")
    clerk = log_in(staff("clerk", "view_agentrun", "view_session"))
    assert "private" not in Page.of(clerk, RUNS).html
    assert not TranscriptReading.objects.exists()
    assert "private" in Page.of(reader, f"{RUNS}?q=provider").text
    [reading] = TranscriptReading.objects.all()
    assert (reading.username, reading.session_id) == ("reader", None)
    assert (reading.via, reading.query) == ("list of runs", "q=provider")


def test_without_transcripts_a_run_says_how_it_ended_only() -> None:
    run = failed(make_user(), "A very private question", error="Busy.\nThe provider's reason")
    Session.objects.update(name="Name")
    client = log_in(staff("clerk", "view_agentrun", "view_session"))
    for url in (RUNS, change_url(run)):
        page = Page.of(client, url)
        assert "Failed" in page.text
        assert "Busy." not in page.text
        assert change_url(run.session) in page.links
        assert not [link for link in page.links if "message=" in link]
        assert "private" not in page.html
        assert "As far as it" not in page.html


def test_status_of_a_run_that_is_presumed_dead_is_interrupted(reader: Client) -> None:
    ana = make_user()
    dead, waiting, stopped = presumed_dead(ana), ask(ana), ask(ana)
    stopped.finish(AgentRun.Status.STOPPED)
    assert "Interrupted" in Page.of(reader, change_url(dead)).text
    assert listed(reader, "status__exact=interrupted") == [dead.pk]
    assert listed(reader, "status__exact=pending") == [waiting.pk]
    assert listed(reader, "status__exact=stopped") == [stopped.pk]
    assert listed(reader, "status__exact=failed") == []
    dead.refresh_from_db()
    assert dead.status == AgentRun.Status.PENDING, "reading writes nothing"
    assert reader.get(f"{RUNS}?status__exact=nonsense").status_code == 302


def test_filters_by_model_agent_user_and_time(reader: Client) -> None:
    ana, bea = make_user("ana"), make_user("bea")
    small, large = done(ana), done(bea, model="openai:gpt-4.1")
    page = Page.of(reader, RUNS)
    assert {"?model=openai%3Agpt-4.1", "?model=openai%3Agpt-4.1-mini"} <= set(page.links)
    assert listed(reader, "model=openai:gpt-4.1") == [large.pk]
    assert listed(reader, "user=ana") == [small.pk]
    assert set(listed(reader, f"agent__id__exact={small.agent_id}")) == {small.pk, large.pk}
    yesterday = quote((timezone.now() - timedelta(days=1)).isoformat())
    AgentRun.objects.filter(pk=large.pk).update(created_at=timezone.now() - timedelta(days=9))
    assert listed(reader, f"created_at__gte={yesterday}") == [small.pk]


def test_the_models_that_are_offered(reader: Client) -> None:
    def offered(query: str = "") -> set[str]:
        page = Page.of(reader, f"{RUNS}{query}")
        return {link for link in page.links if link.startswith("?model=")}

    failed(make_user("bea"))  # before a model was called
    done(make_user("ana"))
    assert offered() == {"?model=openai%3Agpt-4.1-mini"}
    assert "?model=gone" in offered("?model=gone"), "the chosen one is always there"


def test_a_session_leads_to_its_runs_and_its_messages(reader: Client) -> None:
    ana = make_user()
    own, _other = failed(ana), failed(ana)
    links = Page.of(reader, change_url(own.session)).links
    assert f"{RUNS}?session={own.session_id}" in links
    assert listed(reader, f"session={own.session_id}") == [own.pk]
    assert f"/admin/sessions_app/message/?session={own.session_id}" in links
    assert "e=1" in Page.of(reader, f"{RUNS}?session=nonsense").url
    clerk = log_in(staff("clerk", "view_session", "view_message"))
    links = Page.of(clerk, change_url(own.session)).links
    assert not [link for link in links if "?session=" in link]


def test_search_by_error_user_and_session(reader: Client) -> None:
    ana, bea = make_user("ana"), make_user("bea")
    busy = failed(ana, "Plans for May", error="The provider is busy.\nRateLimit 429")
    other = failed(bea, error="The model is not set up.")
    assert listed(reader, "q=ratelimit+429") == [busy.pk]
    assert listed(reader, "q=bea") == [other.pk]
    assert listed(reader, "q=plans+for") == [busy.pk]
    assert listed(reader, f"q={busy.session_id}") == [busy.pk]
    assert listed(reader, f"q={str(busy.pk)[:8]}") == [busy.pk]
    assert listed(reader, "q=nothing+has+this") == []
    clerk = log_in(staff("clerk", "view_agentrun"))
    assert listed(clerk, "q=plans+for") == []
    assert listed(clerk, f"q={busy.session_id}") == []


def test_search_is_limited_and_says_so(reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ana = make_user()
    runs = [failed(ana, error="The provider is busy.") for _ in range(3)]
    monkeypatch.setattr(run_changelist, "FOUND", 2)
    page = Page.of(reader, f"{RUNS}?q=busy")
    assert "More than" in page.messages[0]
    assert len(listed(reader, "q=busy")) == 2
    monkeypatch.setattr(run_changelist, "ERRORS_SEARCHED", 1)
    assert listed(reader, "q=busy") == [runs[-1].pk]


def test_list_takes_the_same_queries_for_1_run_and_100(reader: Client) -> None:
    ana = make_user()
    done(ana)
    reader.get(RUNS)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            reader.get(RUNS)
        return len(captured)

    one = queries()
    template = AgentRun.objects.get()
    rows = []
    for number in range(99):
        chat_session = Session(user=ana, name=f"Chat {number}")
        message = Message(session=chat_session, user=ana, position=1, role="user")
        row = AgentRun.objects.get(pk=template.pk)
        row.pk, row.session, row.message = uuid.uuid4(), chat_session, message
        rows.append(row)
    Session.objects.bulk_create([row.session for row in rows])
    Message.objects.bulk_create([row.message for row in rows])
    AgentRun.objects.bulk_create(rows)
    assert queries() == one


def test_list_reads_neither_texts_nor_all_rows(reader: Client) -> None:
    done(make_user())
    with CaptureQueriesContext(connection) as captured:
        reader.get(RUNS)
    about_runs = [one["sql"] for one in captured if 'FROM "agent_runs"' in one["sql"]]
    assert not [sql for sql in about_runs if '"agent_runs"."text"' in sql]
    for sql in about_runs:
        assert "LIMIT" in sql or '"agent_runs"."id" IN' in sql


@pytest.mark.parametrize(
    ("cost", "shown"),
    [("0", "$0.00"), ("0.0015", "$0.0015"), ("0.066486", "$0.0665"), ("1234.5", "$1,234.50")],
)
def test_costs_have_the_places_that_say_something(cost: str, shown: str) -> None:
    assert dollars(Decimal(cost)) == shown
