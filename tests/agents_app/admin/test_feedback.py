"""Feedback in the admin: read-only, for those who may."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents_app.models import Feedback
from sessions_app.models import Message, TranscriptReading
from tests.agents_app.chats import answered, make_user
from tests.sessions_app.admin.helpers import Page, change_url, log_in, message_url, staff

URL = "/admin/agents_app/feedback/"
REVIEW = ("view_feedback", "view_session", "view_message", "read_transcripts")

pytestmark = pytest.mark.django_db


def rate(*, is_good: bool = False, reason: str = "Made up", answer: str = "Hi!") -> Feedback:
    user = make_user(f"user-{Feedback.objects.count()}")
    message = answered(user, answer=answer).messages.get(role=Message.Role.ASSISTANT)
    return Feedback.objects.create(message=message, user=user, is_good=is_good, reason=reason)


def test_reviewers_read_what_people_think() -> None:
    bad, good = rate(answer="The moon is cheese. " * 20), rate(is_good=True, reason="Just right")
    client = log_in(staff("clerk", *REVIEW))
    listed = Page.of(client, URL)
    for text in ("Made up", "Just right", "The moon is cheese.", "user-0", "Good", "Bad"):
        assert text in listed.text
    assert {message_url(bad.message), change_url(bad)} <= set(listed.links)
    assert message_url(good.message) in Page.of(client, change_url(good)).links
    only_bad = Page.of(client, f"{URL}?is_good__exact=0")
    assert "Made up" in only_bad.text
    assert "Just right" not in only_bad.text
    assert "Just right" in Page.of(client, change_url(good)).text
    assert client.get(f"{change_url(good)}").status_code == 200
    assert client.post(change_url(good), {"reason": "Mine"}).status_code == 403
    assert client.get(f"{URL}add/").status_code == 403


def test_the_list_shows_answers_without_their_markup() -> None:
    rate(answer="## Trams\n\n* Take the **28** from [here](https://example.org/" + "x" * 90 + ")")
    page = Page.of(log_in(staff("clerk", *REVIEW)), URL)
    assert "Trams Take the 28 from here" in page.text
    assert "**" not in page.text
    assert "example.org" not in page.html


def test_each_part_needs_its_permission() -> None:
    feedback = rate(answer="Top secret")
    assert log_in(staff("nobody")).get(URL).status_code == 403
    client = log_in(staff("clerk", "view_feedback", "view_message"))
    for url in (URL, change_url(feedback)):
        page = Page.of(client, url)
        assert "Made up" in page.text
        assert "Top secret" not in page.text
        assert change_url(feedback.message.session) not in page.links


def test_reading_answers_is_logged() -> None:
    feedback, _ = rate(), rate()
    clerk = log_in(staff("clerk", "view_feedback"))
    reader = log_in(staff("reader", *REVIEW))
    for client in (clerk, reader):
        client.get(f"{URL}?is_good__exact=0")
        client.get(change_url(feedback))
    columns = ("username", "session_id", "via", "query")
    assert list(TranscriptReading.objects.order_by("pk").values_list(*columns)) == [
        ("reader", None, "list of feedback", "is_good__exact=0"),
        ("reader", feedback.message.session_id, "feedback", ""),
    ]


def test_list_takes_the_same_queries_for_any_length() -> None:
    client = log_in(staff("clerk", *REVIEW))
    counts = []
    for number in (1, 9):
        for _ in range(number):
            rate()
        with CaptureQueriesContext(connection) as captured:
            client.get(URL)
        counts.append(len(captured))
    assert counts[0] == counts[1]
