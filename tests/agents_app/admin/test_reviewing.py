"""Staff judge, flag and keep a session on its page in the admin."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from sessions_app.models import Review, Session
from sessions_app.review.decisions import review_session
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Form, Page, change_url, log_in, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def reviewer() -> Client:
    return log_in(staff("rita", "view_session", "review_session"))


def review_url(chat_session: Session) -> str:
    return reverse("admin:sessions_app_session_review", args=[chat_session.pk])


def form_with(page: Page, button: str) -> Form:
    return next(form for form in page.forms if button in dict(form.buttons))


def press(page: Page, button: str, value: str, **changes: str) -> Page:
    """Press the one of several buttons of that name that has the value."""
    form = form_with(page, button)
    assert (button, value) in form.buttons
    return page.press(None, form, **{button: value}, **changes)


def test_a_verdict_a_note_and_a_flag(reviewer: Client) -> None:
    chat_session = make_session()
    page = press(Page.of(reviewer, change_url(chat_session)), "verdict", "bad", note="Wrong.")
    assert page.url == change_url(chat_session)
    assert page.messages == ["The review was saved."]
    assert "Reviewed by rita" in page.text
    page = press(page, "flagged", "yes")
    review = Review.objects.get()
    assert (review.verdict, review.note, review.flagged) == ("bad", "Wrong.", True)
    assert review.reviewed_by is not None
    # Pressed again, a button takes back what it said.
    page = press(page, "verdict", "none")
    page = press(page, "flagged", "no")
    page = press(page, "reviewed", "no")
    page = press(page, "save", "note", note=" ")
    assert "Not reviewed yet." in page.text
    assert not Review.objects.exists()
    entries = LogEntry.objects.filter(object_id=str(chat_session.pk))
    assert entries.count() == 6
    assert "Review: verdict bad, note, reviewed." in {entry.change_message for entry in entries}


def test_a_button_does_not_overwrite_a_note_that_another_has_written_since(
    reviewer: Client,
) -> None:
    chat_session = make_session()
    page = Page.of(reviewer, change_url(chat_session))
    other = staff("olga")
    review_session(chat_session, by=other, note="Line 1\nLine 2")
    press(page, "flagged", "yes")
    assert Review.objects.get().note == "Line 1\nLine 2"
    # Browsers post other line ends than they were sent.
    page = Page.of(reviewer, change_url(chat_session))
    assert "Line 1\nLine 2</textarea>" in page.html
    page = press(page, "flagged", "no", note="Line 1\r\nLine 2")
    assert page.messages == ["The review was saved."]
    assert Review.objects.get().note == "Line 1\nLine 2"


def test_the_second_of_two_reviewers_is_told_what_the_first_has_stored(reviewer: Client) -> None:
    chat_session = make_session()
    shown = Page.of(reviewer, change_url(chat_session))
    olga = staff("olga")
    review_session(chat_session, by=olga, verdict="good", note="Fine.")
    page = press(shown, "verdict", "bad", note="Wrong price.")
    assert page.messages == [
        "Nothing was saved: olga reviewed this session in the meantime. Verdict: Good by olga, "
        "Bad by you. Note: “Fine.” by olga, “Wrong price.” by you."
    ]
    review = Review.objects.get()
    assert (review.verdict, review.note, review.reviewed_by) == ("good", "Fine.", olga)
    # The page shows the other review now, and so the next press is meant.
    page = press(page, "verdict", "bad", note="Wrong price.")
    assert page.messages == ["The review was saved."]
    review.refresh_from_db()
    assert (review.verdict, review.note) == ("bad", "Wrong price.")


def test_reviewers_who_agree_or_change_other_things_are_not_told(reviewer: Client) -> None:
    chat_session = make_session()
    shown = Page.of(reviewer, change_url(chat_session))
    review_session(chat_session, by=staff("olga"), verdict="bad")
    assert press(shown, "verdict", "bad", note="Wrong price.").messages == ["The review was saved."]
    assert press(shown, "flagged", "yes", note="").messages == ["The review was saved."]
    review = Review.objects.get()
    assert (review.verdict, review.note, review.flagged) == ("bad", "Wrong price.", True)


def test_keep_takes_a_session_out_of_reach_of_cleanups(reviewer: Client) -> None:
    chat_session = phantom()
    page = press(Page.of(reviewer, change_url(chat_session)), "keep", "yes")
    assert Session.objects.get().keep
    assert page.messages == ["Marked keep: cleanups will not remove it."]
    assert "marked keep" in page.text
    page = press(page, "keep", "no")
    assert page.messages == ["No longer marked keep."]
    assert not Session.objects.get().keep
    assert not Review.objects.exists()


def test_keeping_and_renaming_are_in_the_history_of_the_session() -> None:
    chat_session = phantom(name="Session-x")
    editor = log_in(staff("edith", "view_session", "change_session", "review_session"))
    page = Page.of(editor, change_url(chat_session)).press("_save", name="Boats")
    page = press(page, "keep", "no")
    press(page, "keep", "yes")
    history = Page.of(editor, reverse("admin:sessions_app_session_history", args=[chat_session.pk]))
    for entry in (
        "edith Renamed from “Session-x” to “Boats”, and marked to be kept.",
        "edith No longer marked to be kept.",
        "edith Marked to be kept.",
    ):
        assert entry in history.text


def test_reviewed_and_on_to_the_next_in_the_filtered_list(reviewer: Client) -> None:
    last, _, first = make_session(), make_session(platform="cli"), make_session()
    url = f"{change_url(first)}?_changelist_filters=platform%3Dweb&at=1"
    page = press(Page.of(reviewer, url), "next", str(last.pk))
    assert page.url == f"{change_url(last)}?_changelist_filters=platform%3Dweb"
    assert Review.objects.get().session == first
    assert page.links.count(f"{change_url(first)}?_changelist_filters=platform%3Dweb") == 1


def test_the_place_in_the_conversation_is_kept(reviewer: Client) -> None:
    chat_session = make_session()
    say(chat_session)
    url = f"{change_url(chat_session)}?at=1&_changelist_filters=o%3D1"
    assert press(Page.of(reviewer, url), "verdict", "good").url == url


@pytest.mark.parametrize(
    "data",
    [
        {"verdict": "meh"},
        {"flagged": "perhaps"},
        {"note": "x" * 5001},
        {"note": "a\0b"},
        {"next": "../../../logout", "flagged": "yes"},
    ],
)
def test_a_hand_made_form_saves_nothing(reviewer: Client, data: dict[str, str]) -> None:
    chat_session = make_session()
    page = Page.of(reviewer, change_url(chat_session))
    data["csrfmiddlewaretoken"] = reviewer.cookies["csrftoken"].value
    page = Page.of(reviewer, review_url(chat_session), data)
    assert page.messages[0].startswith("Nothing was saved.")
    assert page.url == change_url(chat_session)
    assert not Review.objects.exists()


@pytest.mark.parametrize(
    "rights", [(), ("view_session", "read_transcripts", "change_session"), ("review_session",)]
)
def test_reviewing_needs_its_permission(rights: tuple[str, ...]) -> None:
    chat_session = make_session()
    client = log_in(staff("clerk", *rights))
    token = client.cookies["csrftoken"].value
    if "view_session" in rights:
        page = Page.of(client, change_url(chat_session))
        assert not any("flagged" in dict(form.buttons) for form in page.forms)
        assert "Not reviewed yet." in page.text
        token = client.cookies["csrftoken"].value
    data = {"csrfmiddlewaretoken": token, "flagged": "yes", "keep": "yes"}
    assert client.get(review_url(chat_session)).status_code == 403
    assert client.post(review_url(chat_session), data).status_code == 403
    assert not Review.objects.exists()
    assert not Session.objects.get().keep


def test_those_who_may_not_review_see_the_review() -> None:
    chat_session = make_session()
    review_session(chat_session, by=staff("olga"), verdict="good", note="<b>Well</b> done")
    page = Page.of(log_in(staff("clerk", "view_session")), change_url(chat_session))
    for said in ("Good", "<b>Well</b> done", "Reviewed by olga"):
        assert said in page.text
    assert "<b>Well" not in page.html


def test_only_post_changes_a_review(reviewer: Client) -> None:
    assert reviewer.get(review_url(make_session()) + "?flagged=yes").status_code == 405
    assert not Review.objects.exists()


def test_a_session_deleted_meanwhile(reviewer: Client) -> None:
    chat_session = make_session()
    page = Page.of(reviewer, change_url(chat_session))
    Session.objects.all().delete()
    page = press(page, "verdict", "good")
    assert page.url == LIST
    assert page.messages == ["Nothing was saved: the session has been deleted."]
    token = reviewer.cookies["csrftoken"].value
    url = f"{LIST}nonsense/review/"
    assert Page.of(reviewer, url, {"csrfmiddlewaretoken": token}).url == LIST
