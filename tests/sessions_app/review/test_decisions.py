"""Verdicts, flags, and sessions that are kept."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection  # noqa: F401 - the condition of a skip

from sessions_app.models import Review, Session
from sessions_app.review.decisions import ReviewedMeanwhile, keep_session, review_session
from sessions_app.writing import SessionGone
from tests.concurrency.helpers import before_statement, elsewhere
from tests.factories import make_session, phantom

pytestmark = pytest.mark.django_db


@pytest.fixture
def rita() -> User:
    return User.objects.create_user("rita")


def log() -> list[str]:
    return [entry.change_message for entry in LogEntry.objects.order_by("pk")]


def test_a_verdict_counts_as_reviewed(rita: User) -> None:
    chat_session = make_session()
    before = Session.objects.values().get()
    changes = review_session(chat_session, by=rita, verdict="bad", note=" Wrong price. ")
    assert changes == ["verdict bad", "note", "reviewed"]
    review = Review.objects.get()
    assert (review.session, review.verdict, review.note) == (chat_session, "bad", "Wrong price.")
    assert review.reviewed_by == rita
    assert review.reviewed_at
    assert not review.flagged
    assert log() == ["Review: verdict bad, note, reviewed."]
    # Reviewing is no activity of the chat's.
    assert Session.objects.values().get() == before


def test_what_is_not_given_stays(rita: User) -> None:
    chat_session = make_session()
    other = User.objects.create_user("olga")
    review_session(chat_session, by=rita, verdict="good", note="Fine.", reviewed=False)
    assert Review.objects.get().reviewed_at is None
    review_session(chat_session, by=rita, flagged=True)
    assert review_session(chat_session, by=other, reviewed=True) == ["reviewed"]
    assert review_session(chat_session, by=rita, reviewed=True, flagged=True) == []
    review = Review.objects.get()
    assert (review.verdict, review.note, review.flagged) == ("good", "Fine.", True)
    assert review.reviewed_by == other
    assert len(log()) == 3


def test_a_review_that_says_nothing_any_more_leaves_the_session_removable(rita: User) -> None:
    chat_session = phantom()
    assert review_session(chat_session, by=rita, verdict="", note="", flagged=False) == []
    review_session(chat_session, by=rita, flagged=True)
    assert not Session.objects.removable().exists()
    review_session(chat_session, by=rita, flagged=False)
    assert not Review.objects.exists()
    assert Session.objects.removable().get() == chat_session


def test_an_unknown_verdict_is_refused(rita: User) -> None:
    with pytest.raises(ValueError, match="not a verdict"):
        review_session(make_session(), by=rita, verdict="meh")
    assert not Review.objects.exists()


def test_a_session_is_kept_and_no_longer_kept(rita: User) -> None:
    chat_session = phantom()
    assert keep_session(chat_session, by=rita, keep=True)
    assert not keep_session(chat_session, by=rita, keep=True)
    chat_session.refresh_from_db()
    assert chat_session.keep
    assert keep_session(chat_session, by=rita, keep=False)
    assert not Session.objects.get().keep
    assert log() == ["Marked to be kept.", "No longer marked to be kept."]


def test_a_session_that_is_gone_gets_nothing(rita: User) -> None:
    chat_session = make_session()
    Session.objects.all().delete()
    with pytest.raises(SessionGone):
        review_session(chat_session, by=rita, flagged=True)
    with pytest.raises(SessionGone):
        keep_session(chat_session, by=rita, keep=True)
    assert log() == []


@pytest.mark.parametrize(
    ("shown", "given", "stored"),
    [
        ({"verdict": ""}, {"verdict": "bad"}, {"verdict": "good"}),
        ({"verdict": "bad"}, {"verdict": "", "flagged": True}, {"verdict": "good"}),
        ({"note": "Old"}, {"note": "", "reviewed": False}, {"note": "Fine."}),
        ({"verdict": "", "note": ""}, {"note": "x", "verdict": "good"}, {"note": "Fine."}),
    ],
)
def test_what_another_has_changed_meanwhile_is_not_overwritten(
    rita: User, shown: dict[str, str], given: dict[str, Any], stored: dict[str, str]
) -> None:
    chat_session = make_session()
    olga = User.objects.create_user("olga")
    review_session(chat_session, by=olga, verdict="good", note="Fine.")
    keep_session(chat_session, by=rita, keep=True)
    before = Review.objects.values().get()
    with pytest.raises(ReviewedMeanwhile) as conflict:
        review_session(chat_session, by=rita, shown=shown, **given)
    assert (conflict.value.by, conflict.value.stored) == ("olga", stored)
    assert Review.objects.values().get() == before
    assert len(log()) == 2


def test_what_is_as_it_was_shown_is_changed(rita: User) -> None:
    chat_session = make_session()
    review_session(chat_session, by=rita, verdict="good", note="Fine.")
    review_session(chat_session, by=rita, verdict="bad", shown={"verdict": "good", "note": ""})
    assert Review.objects.get().verdict == "bad"


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time")
def test_two_reviewers_at_once_overwrite_nothing(rita: User) -> None:
    chat_session = make_session()
    other = User.objects.create_user("olga")
    with before_statement(
        "FOR UPDATE", lambda: elsewhere(lambda: review_session(chat_session, by=other, note="Mine"))
    ):
        review_session(chat_session, by=rita, flagged=True)
    review = Review.objects.get()
    assert (review.note, review.flagged) == ("Mine", True)
