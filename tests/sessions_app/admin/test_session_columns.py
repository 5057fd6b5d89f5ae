"""The columns of the list of sessions: what they show, to whom, and with how many queries."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.models import Review
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

pytestmark = pytest.mark.django_db


def test_an_automatic_name_is_followed_by_the_first_words() -> None:
    say(phantom(), "How do I\nreset   my password?")
    say(make_session(name="Planning"), "Not shown")
    reader = log_in(staff("reader", "view_session", "read_transcripts"))
    page = Page.of(reader, LIST)
    assert "How do I reset my password?" in page.text
    assert "Not shown" not in page.html
    assert not page.problems


def test_first_words_need_the_permission_to_read_transcripts() -> None:
    say(phantom(), "A secret")
    for permissions in (["view_session"], ["view_session", "view_message", "review_session"]):
        clerk = log_in(staff(f"clerk-{len(permissions)}", *permissions))
        page = Page.of(clerk, LIST)
        assert "1 message" in page.text
        assert "secret" not in page.html


def test_a_row_says_whether_the_session_is_removable_and_why_not() -> None:
    clerk = log_in(staff("clerk", "view_session"))
    phantom()
    assert '<span class="badge badge-neutral">Yes</span>' in Page.of(clerk, LIST).html
    chat_session = phantom(platform="cli", keep=True)
    say(chat_session)
    page = Page.of(clerk, LIST)
    assert 'title="1 message; marked keep; platform cli"' in page.html


def test_a_row_shows_platform_outcome_and_review() -> None:
    clerk = log_in(staff("clerk", "view_session"))
    chat_session = make_session(platform="<b>cli</b>", last_run_status="failed")
    page = Page.of(clerk, LIST)
    assert '<span class="badge badge-neutral">&lt;b&gt;cli&lt;/b&gt;</span>' in page.html
    assert '<span class="badge badge-bad">Failed</span>' in page.html
    assert "Flagged</span>" not in page.html
    Review.objects.create(
        session=chat_session, verdict="bad", flagged=True, reviewed_at=timezone.now()
    )
    page = Page.of(clerk, LIST)
    assert '<span class="badge badge-bad">Bad</span>' in page.html
    for mark in ("Flagged", "Reviewed"):
        assert f'<span class="visually-hidden">{mark}</span>' in page.html


def test_the_user_is_a_link_for_those_who_may_open_it() -> None:
    ana = User.objects.create_user("ana")
    make_session(user=ana)
    url = f"/admin/auth/user/{ana.pk}/change/"
    assert url not in Page.of(log_in(staff("clerk", "view_session")), LIST).links
    assert url in Page.of(log_in(staff("boss", "view_session", "view_user")), LIST).links


def test_the_time_zone_is_named_once_and_times_have_one_line() -> None:
    make_session()
    page = Page.of(log_in(staff("clerk", "view_session")), LIST)
    assert page.text.count("Time zone: UTC") == 1
    assert page.text.count("Home") == 1
    assert "Chat sessions › Chat sessions" not in page.text


@pytest.mark.parametrize("query", ["", "?said=hello"])
def test_what_the_rows_show_costs_the_same_for_1_row_and_for_100(query: str) -> None:
    reader = log_in(staff("reader", "view_session", "read_transcripts", "view_user"))

    def add(number: int) -> None:
        user = User.objects.create_user(f"user-{number}")
        created = timezone.now() - timedelta(minutes=number)
        chat_session = phantom(user=user, created_at=created)
        say(chat_session, "Hello there")
        Review.objects.create(session=chat_session, flagged=True)

    add(0)
    Page.of(reader, LIST + query)
    with CaptureQueriesContext(connection) as one:
        Page.of(reader, LIST + query)
    for number in range(1, 100):
        add(number)
    with CaptureQueriesContext(connection) as hundred:
        page = Page.of(reader, LIST + query)
    assert page.html.count('class="opening"') == 50
    # Session and user; permissions (2); platforms; the agents; saved filters; count; ids; rows;
    # facts; reasons; the log of what was read. With a search: the matches; where they are said.
    assert len(hundred) == len(one) <= (13 if not query else 15)


def test_an_action_that_answers_with_the_list_does_not_fail() -> None:
    boss = log_in(staff("boss", "view_session", "delete_session"))
    chat_session = make_session()
    page = Page.of(boss, LIST)
    form = next(form for form in page.forms if "index" in dict(form.buttons))
    token = dict(form.fields)["csrfmiddlewaretoken"]
    for data in ({"_save": "x", "_selected_action": str(chat_session.pk)}, {"action": ""}):
        assert Page.of(boss, LIST, {"csrfmiddlewaretoken": token, **data}).status == 200
