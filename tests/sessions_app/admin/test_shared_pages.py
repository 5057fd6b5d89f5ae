"""What all of the admin's lists and records say: filters that fail, times, counts."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from sessions_app.models import CleanupRun, Message
from sessions_app.review.reading_log import record_reading
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, change_url, choose, log_in

pytestmark = pytest.mark.django_db

ZONE = "Times are in the time zone UTC."
INVALID = "A filter of this address is not valid: this is the list without filters."


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
    assert ZONE not in Page.of(root, reverse("admin:auth_group_changelist")).text


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
    page = choose(root, chat_session, across=True)
    assert "1,000 of the 1,001 selected sessions will be removed" in page.text
    assert ("confirm", "Remove 1,000 sessions") in page.forms[-1].buttons
    assert ("matched", "1000") in page.forms[-1].fields


def test_a_cleanup_without_an_error_has_no_line_for_it(root: Client) -> None:
    run = CleanupRun.objects.create(source=CleanupRun.Source.ADMIN, started_by="root")
    page = Page.of(root, change_url(run))
    assert "Error" not in page.text
    assert "None" not in page.text
    run.finish(CleanupRun.Status.FAILED, error="disk full")
    assert "disk full" in Page.of(root, change_url(run)).text
