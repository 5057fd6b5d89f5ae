"""The admin's first page: its numbers, who sees what of it, what it costs, and its buttons."""

import math
import re
from datetime import datetime, timedelta
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents_app.admin import dashboard
from agents_app.models import AgentRun
from sessions_app import statistics
from sessions_app.cleanup.run import start_cleanup
from sessions_app.models import CleanupRun, Message, Session, TranscriptReading
from tests.agents_app.chats import answered, failed, make_user
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

INDEX = "/admin/"
RUNS = "/admin/agents_app/agentrun/"
MESSAGES = "/admin/sessions_app/message/"
CLEANUPS = "/admin/sessions_app/cleanuprun/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    client = log_in(User.objects.create_superuser("root", password="secret"))
    cache.clear()  # the login ends on this page
    return client


def ago(days: int) -> datetime:
    return timezone.now() - timedelta(days=days)


def card(page: Page, heading: str) -> str:
    """The HTML of one card."""
    found: str
    [found] = [
        part
        for part in page.html.split("<section")[1:]
        if re.search(rf"<h2[^>]*>{heading}\s*<", part)
    ]
    return found.partition("</section>")[0]


def text(html: str) -> str:
    return " ".join(re.sub(r"<title>.*?</title>|<[^>]+>", " ", html).split())


def links(html: str) -> dict[str, str]:
    """The addresses of links, by their text."""
    found = re.findall(r'<a [^>]*href="([^"]+)"[^>]*>(.*?)</a>', html)
    return {text(label): unescape(url) for url, label in found}


def shown_in_list(client: Client, url: str) -> int:
    page = Page.of(client, url)
    assert page.status == 200
    # The last of them: rows have numbers of messages, too.
    *_, count = re.findall(
        r"([\d,]+) (?:chat session|message|agent run|cleanup run)s?\b", page.text
    )
    return int(count.replace(",", ""))


def test_sessions_and_messages_are_counted_per_day_and_lead_to_their_lists(root: Client) -> None:
    for days in (0, 0, 3, 29, 31):
        say(make_session(created_at=ago(days)))
    Message.objects.filter(session__created_at__lt=ago(2)).update(created_at=ago(3))
    page = Page.of(root, INDEX)
    sessions, messages = card(page, "Sessions"), card(page, "Messages")
    assert "4 started in the last 30 days" in text(sessions)
    assert "5 stored in the last 30 days" in text(messages)
    today, older = (f"{day:%Y-%m-%d}" for day in (ago(0), ago(3)))
    assert f"{today} 2" in text(sessions)
    assert f"{older} 1" in text(sessions)
    assert f"{today} 2" in text(messages)
    assert f"{older} 3" in text(messages)
    for html in (sessions, messages):
        for count, url in links(html).items():
            assert shown_in_list(root, url) == int(count)


def test_the_trash_is_not_counted_as_sessions_but_what_was_answered_in_it(root: Client) -> None:
    user = make_user()
    answered(user)
    Session.objects.filter(pk=failed(user).session_id).update(trashed_at=timezone.now())
    page = Page.of(root, INDEX)
    sessions = card(page, "Sessions")
    assert "1 started in the last 30 days" in text(sessions)
    for count, url in links(sessions).items():
        assert shown_in_list(root, url) == int(count) == 1
    assert shown_in_list(root, f"{LIST}?trash=yes") == 1
    answers = text(card(page, "Answers"))
    assert "Done 1" in answers
    assert "Failed 1" in answers


def test_answers_are_counted_by_outcome(root: Client) -> None:
    user = make_user()
    for _ in range(3):
        answered(user)
    failed(user)
    AgentRun.objects.filter(pk=failed(user).pk).update(created_at=ago(40))
    answers = card(Page.of(root, INDEX), "Answers")
    assert "4 in the last 30 days, by outcome" in text(answers)
    assert "Done 3" in text(answers)
    assert "Failed 1" in text(answers)
    assert "Interrupted 0" in text(answers)
    assert "Stopped 0" in text(answers)
    by_count = links(answers)
    assert "status__exact=done" in by_count["3"]
    assert "status__exact=failed" in by_count["1"]
    for count, url in by_count.items():
        assert shown_in_list(root, url) == int(count)


def test_times_are_medians_and_95th_percentiles(root: Client) -> None:
    user = make_user()
    asked = ago(1)
    for number in range(1, 21):
        chat_session = answered(user)
        chat_session.runs.update(
            created_at=asked,
            first_token_at=asked + timedelta(milliseconds=10 * number),
            finished_at=asked + timedelta(seconds=5 * number),
        )
    html = card(Page.of(root, INDEX), "Answer times")
    assert "First token 0.10 s 0.19 s" in text(html)
    assert "Full answer 50.0 s 1 min 35 s" in text(html)
    by_time = links(html)
    assert {"0.10 s", "0.19 s", "50.0 s", "1 min 35 s"} <= set(by_time)
    for url in by_time.values():
        assert shown_in_list(root, url) == 20


def test_removable_sessions_are_counted_by_age(root: Client) -> None:
    for days in (0, 3, 3, 20, 60, 60, 60):
        phantom(created_at=ago(days))
    say(phantom(created_at=ago(60)))
    removable = card(Page.of(root, INDEX), "Removable now")
    assert "7 empty, auto-named sessions" in text(removable)
    assert "Today 1 Last 7 days 2 Last 30 days 1 Older 3" in text(removable)
    for count, url in links(removable).items():
        assert "removable=yes" in url
        assert shown_in_list(root, url) == int(count)


def top_of_chart(page: Page, heading: str) -> str:
    """The number beside a chart's highest bar."""
    [top] = re.findall(r'<span class="top"[^>]*>([^<]*)<', card(page, heading))
    return str(top)


def test_more_than_the_limit_is_not_counted(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "COUNT_LIMIT", 3)
    for _ in range(3):
        phantom()
    page = Page.of(root, INDEX)
    assert "3 started in" in text(card(page, "Sessions"))
    assert top_of_chart(page, "Sessions") == "3"
    phantom()
    cache.clear()
    page = Page.of(root, INDEX)
    assert "3+ started in" in text(card(page, "Sessions"))
    assert top_of_chart(page, "Sessions") == "3+"
    assert "3+ empty" in text(card(page, "Removable now"))


def test_newest_cleanups_and_failures(root: Client) -> None:
    now = timezone.now()
    for removed in range(7):
        CleanupRun.objects.create(
            source=CleanupRun.Source.COMMAND,
            started_by="ops@host",
            matched=9,
            removed=removed,
            status=CleanupRun.Status.PARTIAL,
            finished_at=now,
        )
    run = failed(make_user(), error="No model.\nTraceback")
    page = Page.of(root, INDEX)
    cleanups = card(page, "Recent cleanups")
    assert cleanups.count("Stopped early") == 5
    assert "6 of 9" in text(cleanups)
    assert "1 of 9" not in text(cleanups)
    failures = card(page, "Recent failures")
    assert "No model." in text(failures)
    assert "Traceback" not in failures
    assert links(cleanups)["6 of 9"] == f"{CLEANUPS}{CleanupRun.objects.latest('pk').pk}/change/"
    assert f"{RUNS}{run.pk}/change/" in failures
    assert f"{LIST}{run.session_id}/change/" in failures


def test_who_may_see_sessions_only_gets_numbers_without_links_and_without_errors() -> None:
    failed(make_user(), error="The secret was too long.")
    phantom()
    CleanupRun.objects.create(source=CleanupRun.Source.COMMAND, started_by="ops@host")
    viewer = log_in(staff("viewer", "view_session"))
    page = Page.of(viewer, INDEX)
    assert "Dashboard" in page.text
    assert "secret" not in page.html
    assert "Failed" in text(card(page, "Recent failures"))
    assert "Cleanup" in text(card(page, "Recent cleanups"))
    assert "formaction" not in page.html
    assert not [link for link in page.links if link.startswith((RUNS, MESSAGES, CLEANUPS))]
    assert not TranscriptReading.objects.exists()
    for link in {link for link in page.links if link.startswith(INDEX)}:
        assert Page.of(viewer, unescape(link)).status == 200, link


def test_errors_are_shown_to_who_may_read_transcripts() -> None:
    reader = log_in(staff("reader", "view_session", "read_transcripts"))
    run = failed(make_user(), "Where is the harbour?", error="The secret was too long.")
    Session.objects.update(name=f"Session-{run.session_id}")
    failures = card(Page.of(reader, INDEX), "Recent failures")
    assert "The secret was too long." in failures
    assert links(failures)["Where is the harbour?"] == f"{LIST}{run.session_id}/change/"
    reading = TranscriptReading.objects.get()
    assert (reading.username, reading.session_id) == ("reader", None)
    assert reading.via == "dashboard"


def test_others_get_djangos_first_page() -> None:
    page = Page.of(log_in(staff("keeper", "view_agent")), INDEX)
    assert page.status == 200
    assert "Dashboard" not in page.text
    assert "Recent actions" in page.text
    with CaptureQueriesContext(connection) as queries:
        Page.of(log_in(staff("nobody")), INDEX)
    assert not [query for query in queries if "agent_runs" in query["sql"]]


def test_it_costs_the_same_number_of_queries_for_1_row_and_for_many(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine anything can take long, and would then be stored.
    monkeypatch.setattr(dashboard, "SLOW_SECONDS", math.inf)

    def add(number: int) -> None:
        user = make_user(f"user-{number}")
        answered(user)
        failed(user)
        phantom()
        CleanupRun.objects.create(source=CleanupRun.Source.COMMAND, started_by="ops@host")

    def cost() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            assert Page.of(root, INDEX).status == 200
        return len([query for query in queries if "cache_entries" not in query["sql"]])

    add(0)
    cost()  # what is cached for the process
    one = cost()
    for number in range(1, 8):
        add(number)
    # The login and the user's preferences; sessions, messages, answers, times, removable
    # sessions, cleanups, failures; savepoints of the cache.
    assert cost() == one <= 14


def whole_table_reads(sql: str) -> list[str]:
    """The steps of a query's plan that read a large table from its beginning to its end."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # So that it is planned for these few rows as for many.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"EXPLAIN {sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        steps = [" ".join(map(str, row)) for row in cursor.fetchall()]
    whole = re.compile(r"(Seq Scan on|SCAN) (sessions|messages|agent_runs|U\d)\b(?!.*USING)")
    return [step for step in steps if whole.search(step)]


def test_no_query_reads_a_whole_table(root: Client) -> None:
    assert whole_table_reads("SELECT count(name) FROM sessions WHERE platform = 'web'")
    failed(make_user())
    with CaptureQueriesContext(connection) as queries:
        assert Page.of(root, INDEX).status == 200
    asked = [
        query["sql"]
        for query in queries
        if query["sql"].startswith("SELECT") and "cache_entries" not in query["sql"]
    ]
    assert all(table in str(asked) for table in ("sessions", "messages", "agent_runs"))
    assert [read for sql in asked for read in whole_table_reads(sql)] == []


def test_what_is_removable_is_kept_for_a_while_if_it_took_long(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "SLOW_SECONDS", 0)
    phantom()
    Page.of(root, INDEX)
    with CaptureQueriesContext(connection) as queries:
        Page.of(root, INDEX)
    assert not [query for query in queries if '"auto_named"' in query["sql"]]
    start_cleanup(source=CleanupRun.Source.COMMAND, started_by="ops", matched=1, criteria={})
    phantom()
    assert "2 empty" in text(card(Page.of(root, INDEX), "Removable now"))


def removals(page: Page) -> list[str]:
    return [unescape(url) for url in re.findall(r'formaction="([^"]+)"', page.html)]


@pytest.mark.parametrize(("button", "removed"), [(0, 4), (1, 2), (2, 1)])
def test_a_cleanup_starts_with_the_lists_own_confirmation(
    root: Client, button: int, removed: int
) -> None:
    for days in (0, 3, 20, 60):
        phantom(created_at=ago(days))
    kept = make_session(created_at=ago(60))
    page = Page.of(root, INDEX)
    [form] = [form for form in page.forms if ("select_across", "1") in form.fields]
    form.action = removals(page)[button]
    confirmation = page.press("index", form)
    selected = "The selected session" if removed == 1 else f"All {removed} selected sessions"
    assert f"{selected} will be removed" in confirmation.text
    assert Session.objects.count() == 5
    confirmation.press("confirm")
    assert Session.objects.count() == 5 - removed
    assert Session.objects.filter(pk=kept.pk).exists()
    assert f"{4 - removed} empty" in text(card(Page.of(root, INDEX), "Removable now"))


def test_the_sections_that_staff_come_for_stand_first(root: Client) -> None:
    page = Page.of(root, INDEX)
    sections = re.findall(r'class="section"[^>]*>([^<]+)<', page.html)
    assert sections[:2] == ["Conversations", "Agents and runs"]
    assert page.problems == []
    assert "Parley" in page.text
