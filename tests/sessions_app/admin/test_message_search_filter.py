"""Searching the list of sessions by what was said."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from sessions_app.admin import message_search_filter
from sessions_app.models import Message, Session, TranscriptReading
from tests.factories import make_session, say
from tests.sessions_app.admin.helpers import LIST, Page, log_in, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader() -> Client:
    return log_in(staff("reader", "view_session", "read_transcripts"))


def found(client: Client, text: str, **others: str) -> set[str]:
    """The names of the sessions that a search finds."""
    page = client.get(LIST, {"said": text, **others})
    assert page.status_code == 200
    return {row.name for row in page.context["cl"].result_list}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password", {"one", "two"}),
        ("PASS", {"one", "two"}),
        ("my password", {"one"}),
        ('"password my"', set()),
        ('"my password"', {"one"}),
        ("password -reset", {"two"}),
        ('password -"my password"', {"two"}),
        ("reset or weather", {"one", "three"}),
        ("reset OR weather -sunny", {"one"}),
        ("-reset", set()),
        ("!!", set()),
        ("名古屋", {"four"}),
    ],
)
def test_words_find_sessions(reader: Client, text: str, expected: set[str]) -> None:
    say(make_session(name="one"), "How do I reset my password?")
    say(make_session(name="two"), "The password is wrong", role="assistant")
    say(make_session(name="three"), "Sunny weather")
    say(make_session(name="four"), "明日は名古屋へ行きます")
    make_session(name="empty")
    assert found(reader, text) == expected


def test_the_trash_is_searched_only_when_asked_for(reader: Client) -> None:
    say(make_session(name="one"), "My password")
    say(make_session(name="two", trashed_at=timezone.now()), "My password")
    assert found(reader, "password") == {"one"}
    assert found(reader, "password", trash="") == {"one"}
    assert found(reader, "password", trash="no") == {"one"}
    assert found(reader, "password", trash="yes") == {"two"}


def test_a_hit_shows_an_answer_without_its_markup(reader: Client) -> None:
    say(make_session(), "# How to\n\n**Reset** it with `ctl`.", role="assistant")
    page = Page.of(reader, f"{LIST}?said=reset")
    assert "How to <mark>Reset</mark> it with ctl." in page.html


def test_a_hit_shows_the_words_and_links_to_the_message(reader: Client) -> None:
    chat_session = make_session(name="one")
    say(chat_session, "Good morning")
    message = say(chat_session, "How do I <b>reset</b> it?" + " more" * 500, role="assistant")
    say(chat_session, "Another reset")
    page = Page.of(reader, f"{LIST}?said=reset&messages=yes")
    assert "&lt;b&gt;<mark>reset</mark>&lt;/b&gt;" in page.html
    assert "and in 1 more message" in page.text
    assert "more more …" in page.text
    [link] = [link for link in page.links if f"message={message.pk}" in link]
    assert link.startswith(f"{LIST}{chat_session.pk}/change/?")
    assert link.endswith("#m2")
    assert "_changelist_filters=said%3Dreset%26messages%3Dyes" in link
    assert Page.of(reader, link).status == 200
    assert not page.problems


def test_a_search_is_logged_as_reading_what_it_shows(reader: Client) -> None:
    say(make_session(), "My password")
    say(make_session(), "Your password")
    found(reader, "nothing")
    assert not TranscriptReading.objects.exists()
    found(reader, "password")
    reading = TranscriptReading.objects.get()
    assert (reading.username, reading.via) == ("reader", "list of sessions")
    assert (reading.session_id, reading.query) == (None, "said=password")


def test_a_search_needs_the_permission_to_read_transcripts() -> None:
    say(make_session(), "My password")
    clerk = log_in(staff("clerk", "view_session", "view_message"))
    page = Page.of(clerk, f"{LIST}?said=password")
    assert page.status == 200
    assert "requires the permission to read transcripts" in page.text
    assert "<mark>" not in page.html
    assert "No matching chat sessions." in page.text
    assert not TranscriptReading.objects.exists()


def test_both_searches_have_labels_and_keep_each_other(reader: Client) -> None:
    say(make_session(name="Planning"), "My password")
    say(make_session(name="Another"), "My password")
    page = Page.of(reader, f"{LIST}?q=plan&platform=web")
    for label, field in (("Session or user", "searchbar"), ("Message text", "said")):
        assert f'<label for="{field}">{label}</label>' in page.html
        assert f'id="{field}"' in page.html
    form = next(form for form in page.forms if "said" in dict(form.fields) and form.fields[0])
    page = page.press(None, form, said="password")
    assert {"q=plan", "said=password", "platform=web"} <= set(page.url.partition("?")[2].split("&"))
    assert found(reader, "password", q="plan") == {"Planning"}


def test_a_search_is_no_filter_to_clear(reader: Client) -> None:
    say(make_session(), "My password")
    assert "Clear all filters" not in Page.of(reader, f"{LIST}?said=password&q=plan").text
    assert "Clear all filters" in Page.of(reader, f"{LIST}?said=password&messages=yes").text
    assert "No matching chat sessions." in Page.of(reader, f"{LIST}?said=harbour").text


def test_very_common_words_are_sought_in_the_newest_sessions(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_search_filter, "MATCHES", 3)
    monkeypatch.setattr(message_search_filter, "NEWEST", 2)
    now = timezone.now()
    for number in range(4):
        created = now - timedelta(hours=number)
        say(make_session(name=f"{number}", created_at=created, platform=f"p{number % 2}"), "Hello")
    assert found(reader, "hello") == {"0", "1"}
    assert found(reader, "hello", platform="p1") == {"1", "3"}
    page = Page.of(reader, f"{LIST}?said=hello")
    assert "More than 3 messages have these words" in page.text
    Session.objects.get(name="0").delete()
    assert found(reader, "hello") == {"1", "2", "3"}
    assert "More than" not in Page.of(reader, f"{LIST}?said=hello").text


def test_only_the_starts_of_very_long_messages_are_looked_at_for_the_excerpt(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message_search_filter, "_TEXT_READ", 20)
    say(make_session(), "word " * 20 + "password")
    page = Page.of(reader, f"{LIST}?said=password")
    assert "word word" in page.text
    assert "<mark>" not in page.html


def test_an_action_on_what_was_found_selects_the_same_sessions(django_user_model: Any) -> None:
    User.objects.create_superuser("root", password="secret")
    root = log_in(User.objects.get(username="root"))
    say(make_session(name="one"), "My password")
    make_session(name="two")
    page = Page.of(root, f"{LIST}?said=password")
    selected = [str(Session.objects.get(name="one").pk)]
    page = page.press(
        "index", action="remove_empty_sessions", select_across="1", _selected_action=selected
    )
    assert "The selected session cannot be removed." in page.text
    assert Message.objects.exists()
