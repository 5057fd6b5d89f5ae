"""What all of the admin's lists and records say: filters that fail, times, counts."""

import re
from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents_app.models import Agent, AgentRun, ApiKey, Feedback
from sessions_app.models import (
    CleanupRun,
    Export,
    Message,
    Review,
    SavedFilter,
    Session,
    TranscriptReading,
)
from sessions_app.review.decisions import review_session
from sessions_app.review.reading_log import record_reading
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, change_url, choose, log_in, staff

pytestmark = pytest.mark.django_db

ZONE = "Time zone: UTC"
# What may be a time of day or a date, in any of the usual forms.
TIME = re.compile(
    r"(?:\d{4}-\d\d-\d\d )?\d\d?:\d\d(?::\d\d)?|\d{1,2}(?::\d\d)? [ap]\.m\.|Mar\w*\.? 9|9 Mar\w*"
)
FORMAT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
INVALID = "A filter in this address is not valid, so the list is shown without filters."


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("root", password="secret")


@pytest.fixture
def root(user: User) -> Client:
    return log_in(user)


@pytest.mark.parametrize("query", ["?outcome=foo", "?nonsense=1"])
def test_a_filter_that_is_not_valid_is_said(root: Client, query: str) -> None:
    make_session()
    assert INVALID in Page.of(root, LIST + query).text
    assert INVALID not in Page.of(root, LIST).text
    assert INVALID not in Page.of(root, f"{LIST}?outcome=failed").text


def test_lists_and_records_with_times_name_the_time_zone(root: Client, user: User) -> None:
    chat_session = make_session()
    message = say(chat_session)
    record_reading(user, [chat_session.pk], via="page")
    run = CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by="root")
    pages = [
        reverse(f"admin:{name}_changelist")
        for name in (
            *("sessions_app_session", "sessions_app_message", "sessions_app_cleanuprun"),
            *("sessions_app_transcriptreading", "agents_app_agentrun", "agents_app_feedback"),
        )
    ]
    history = reverse("admin:sessions_app_session_history", args=[chat_session.pk])
    for url in (*pages, change_url(message), change_url(run)):
        assert Page.of(root, url).text.count(ZONE) == 1, url
    page = Page.of(root, change_url(chat_session))
    page.press("flagged")
    assert Page.of(root, history).text.count(ZONE) == 1
    for model in ("auth_group", "auth_user", "agents_app_agent"):
        assert ZONE not in Page.of(root, reverse(f"admin:{model}_changelist")).text


def test_times_look_the_same_on_every_page(root: Client, user: User) -> None:
    moment = datetime(2024, 3, 9, 17, 5, 42, tzinfo=UTC)
    chat_session = make_session(created_at=moment)
    message = say(chat_session, created_at=moment)
    record_reading(user, [chat_session.pk], via="page")
    reading = TranscriptReading.objects.get()
    run = AgentRun.objects.create(
        session=chat_session,
        message=message,
        status=AgentRun.Status.FAILED,
        error="No model.",
        created_at=moment,
        finished_at=moment,
    )
    feedback = Feedback.objects.create(
        message=say(chat_session, role="assistant"), is_good=True, created_at=moment
    )
    agent = Agent.objects.create(name="Helper", created_at=moment, updated_at=moment)
    cleanup = CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by="root")
    export = Export.objects.create(username="root", selection="", format="", with_transcripts=False)
    phantom(created_at=moment)
    review_session(chat_session, by=user, flagged=True, reviewed=True)
    for model, values in (
        (Session, {"updated_at": moment}),
        (TranscriptReading, {"read_at": moment}),
        (CleanupRun, {"started_at": moment, "finished_at": moment, "status": "done"}),
        (Export, {"started_at": moment, "finished_at": moment}),
        (Review, {"reviewed_at": moment}),
        (LogEntry, {"action_time": moment}),
        (User, {"last_login": moment, "date_joined": moment}),
    ):
        model.objects.update(**values)
    rows = (chat_session, message, run, feedback, reading, cleanup, export)
    urls = [change_url(row) for row in (*rows, agent)]
    urls += [url.removesuffix(f"{row.pk}/change/") for url, row in zip(urls, rows, strict=False)]
    urls += [reverse("admin:sessions_app_session_history", args=[chat_session.pk]), "/admin/"]
    for url in urls:
        page = Page.of(root, url)
        shown = set(TIME.findall(page.text))
        assert "2024-03-09 17:05" in shown, url
        assert {time for time in shown if not FORMAT.fullmatch(time)} == set(), url
    confirmation = choose(root, Session.objects.removable().get())
    assert "2024-03-09 17:05" in confirmation.text
    assert confirmation.text.count(ZONE) == 1
    viewer = User.objects.create_user("vera", password="secret", is_staff=True)
    User.objects.update(last_login=moment, date_joined=moment)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_user"))
    account = Page.of(log_in(viewer), change_url(user))
    assert account.text.count("2024-03-09 17:05") == 2
    assert account.text.count(ZONE) == 1


def test_results_are_counted_above_a_list_that_is_filtered(root: Client) -> None:
    make_session(name="Boats")
    for url in (LIST, reverse("admin:agents_app_agentrun_changelist")):
        assert "Show all" not in Page.of(root, url).text
    for query in ("?q=boats", "?messages=no"):
        assert "1 result" in Page.of(root, LIST + query).text


def test_large_numbers_are_grouped(root: Client) -> None:
    chat_session = make_session()
    Message.objects.bulk_create(
        Message(session=chat_session, position=number, role="user", text_content="a")
        for number in range(1, 1_001)
    )
    url = reverse("admin:sessions_app_session_delete", args=[chat_session.pk])
    assert "1,000 messages" in Page.of(root, url).text
    for _ in range(1_000):
        phantom()
    page = Page.of(root, f"{LIST}?q=session-")
    assert "1,000 results" in page.text
    page = choose(root, chat_session, across=True)
    assert "1,000 of the 1,001 selected sessions will be removed" in page.text
    assert ("confirm", "Remove 1,000 sessions") in page.forms[-1].buttons
    assert ("matched", "1000") in page.forms[-1].fields


def test_large_numbers_are_grouped_in_records_of_cleanups(root: Client) -> None:
    run = CleanupRun.objects.create(
        source=CleanupRun.Source.COMMAND,
        started_by="ops@host",
        matched=3_000_000,
        removed=2_000_000,
        restored=1_000_000,
        status=CleanupRun.Status.PARTIAL,
        finished_at=timezone.now(),
    )
    for url in (reverse("admin:sessions_app_cleanuprun_changelist"), change_url(run), "/admin/"):
        text = Page.of(root, url).text
        assert "2,000,000" in text, url
        assert "3,000,000" in text, url
        assert "000000" not in text, url


def test_large_numbers_are_grouped_in_djangos_own_lists_and_confirmations(root: Client) -> None:
    User.objects.bulk_create(User(username=f"user-{number}") for number in range(1_000))
    users = reverse("admin:auth_user_changelist")
    text = Page.of(root, users).text
    assert "1,001 users" in text
    assert "Select all 1,001 users" in text
    text = Page.of(root, f"{users}?q=user-").text
    assert "1,000 results" in text
    assert "1,001 total" in text
    ana = User.objects.get(username="user-1")
    SavedFilter.objects.bulk_create(
        SavedFilter(user=ana, name=f"{number}", query="q=a") for number in range(1_000)
    )
    text = Page.of(root, reverse("admin:auth_user_delete", args=[ana.pk])).text
    assert "Saved filters: 1,000" in text


def test_a_cleanup_without_an_error_has_no_line_for_it(root: Client) -> None:
    run = CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by="root")
    page = Page.of(root, change_url(run))
    assert "Error" not in page.text
    assert "None" not in page.text
    run.finish(CleanupRun.Status.FAILED, error="disk full")
    assert "disk full" in Page.of(root, change_url(run)).text


def test_fields_that_templates_write_say_how_long_they_may_be(root: Client) -> None:
    phantom()
    page = Page.of(root, f"{LIST}?platform=automagik")
    assert re.findall(r'name="(\w+)"[^>]* maxlength="(\d*)"', page.html) == [
        ("said", "200"),
        ("name", "80"),
    ]
    choose(root, *Session.objects.all()).press("confirm")
    page = Page.of(root, change_url(CleanupRun.objects.get()))
    assert re.findall(r'name="(\w+)"[^>]* maxlength="(\d*)"', page.html) == [("q", "200")]


def test_breadcrumbs_lead_to_the_list_and_to_what_a_page_is_about(root: Client) -> None:
    phantom(name="Session-x")
    chat_session = Session.objects.get()
    choose(root, chat_session).press("confirm")
    run = CleanupRun.objects.get()
    user = User.objects.get()
    runs, users = "/admin/sessions_app/cleanuprun/", "/admin/auth/user/"
    home, to_runs = ("/admin/", "Home"), (runs, "Cleanup runs")
    to_users, to_user = (users, "Users"), (change_url(user), "root")
    for url, crumbs in {
        runs: [home, "Cleanup runs"],
        change_url(run): [home, to_runs, str(run)],
        f"{runs}{run.pk}/restore/": [
            home,
            to_runs,
            (change_url(run), str(run)),
            "Restore sessions",
        ],
        f"{users}add/": [home, to_users, "Add user"],
        f"{users}{user.pk}/history/": [home, to_users, to_user, "History"],
        f"{users}{user.pk}/delete/": [home, to_users, to_user, "Delete"],
    }.items():
        assert breadcrumbs(Page.of(root, url)) == crumbs
    phantom(name="Session-y")
    [chosen] = Session.objects.all()
    to_sessions = (LIST, "Chat sessions")
    assert breadcrumbs(choose(root, chosen)) == [home, to_sessions, "Remove empty sessions"]


def breadcrumbs(page: Page) -> list[str | tuple[str, str]]:
    """The text of each, with its address where it is a link."""
    [html] = re.findall(r'<div class="breadcrumbs">(.*?)</div>', page.html, re.DOTALL)
    parts = [part.strip() for part in html.split("&rsaquo;")]
    links = [re.fullmatch(r'<a href="([^"]+)">([^<]+)</a>', part) for part in parts]
    return [
        part if link is None else (link[1], link[2])
        for part, link in zip(parts, links, strict=True)
    ]


def test_an_empty_list_says_where_its_rows_come_from_and_offers_no_actions(root: Client) -> None:
    for model, texts in (
        (Session, ["No chat sessions yet.", "chats and by programs"]),
        (CleanupRun, ["No cleanup runs yet.", "Start one on the dashboard"]),
        (Export, ["No exports yet.", "choose “Export…”"]),
        (ApiKey, ["No API keys yet.", "Programs need one"]),
        (AgentRun, ["No agent runs yet."]),
        (Feedback, ["No feedback yet."]),
    ):
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        page = Page.of(root, url)
        for text in texts:
            assert text in page.text, url
        assert "selected" not in page.text, url
    make_session()
    assert "No chat sessions yet." not in Page.of(root, LIST).text
    assert "0 of 1 selected" in Page.of(root, LIST).text
    page = Page.of(root, f"{LIST}?outcome=failed")
    assert "No matching chat sessions." in page.text
    assert "selected" not in page.text


def test_error_pages_lead_back_to_where_one_was(root: Client) -> None:
    clerk = log_in(staff("clerk"))
    for client, url, status in ((root, "/admin/nothing/", 404), (clerk, LIST, 403)):
        page = Page.of(client, url)
        assert page.status == status
        assert "Back to the admin" in page.text
        assert reverse("admin:index") in page.links
        assert Page.of(client, reverse("admin:index")).status == 200
    page = Page.of(root, "/nothing/")
    assert page.status == 404
    assert "Back to the admin" not in page.text
    assert "Go to your chats" in page.text
