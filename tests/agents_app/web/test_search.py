"""Searching one's own chats: what is found, how it is shown, and how many queries it takes."""

import re
import uuid
from datetime import timedelta
from functools import partial
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.html import conditional_escape
from hypothesis import given
from hypothesis import strategies as st

from agents_app.web.found_words import marked
from agents_app.web.search import MESSAGES_COUNTED, MESSAGES_PER_PAGE
from sessions_app.models import Message, Session
from sessions_app.search import messages as search
from tests.agents_app.chats import answered, make_user
from tests.agents_app.web.helpers import chat_url, html, queries
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db(transaction=True)

SNIPPET = re.compile(r'class="snippet">(.*?)</span>\s*</a>', re.DOTALL)


def snippets(page: Client, query: str) -> list[str]:
    return SNIPPET.findall(html(page.get("/chats/", {"q": query})))


def names(page: Client, query: str) -> list[str]:
    return re.findall(r'class="name">([^<]+)', html(page.get("/chats/", {"q": query})))


def texts(page: Client, query: str) -> list[str]:
    return [re.sub("<[^>]+>", "", found) for found in snippets(page, query)]


def test_a_hit_shows_the_words_and_opens_the_chat_at_them(page: Client, user: User) -> None:
    chat_session = answered(user, "How do boats swim?", "A **boat** floats.\n\nAll boats do.")
    shown = html(page.get("/chats/", {"q": "boat"}))
    assert SNIPPET.findall(shown) == [
        "How do <mark>boat</mark>s swim?",
        "A <mark>boat</mark> floats. All <mark>boat</mark>s do.",
    ]
    assert f'href="{chat_url(chat_session)}?at=2&amp;q=boat#m2"' in shown
    assert 'id="m2"' in html(page.get(f"{chat_url(chat_session)}?at=2"))


def marked_texts(page: Client, chat_session: Session, at: int, query: str) -> list[str]:
    """What the messages of a chat say, when it is opened at one that a search has found."""
    shown = html(page.get(chat_url(chat_session), {"at": f"{at}", "q": query}))
    end = '</div>(?:<div class="m|</article>)'
    texts = re.findall(f'<div class="text[^>]*>(.*?){end}', shown, re.DOTALL)
    assert shown.count(f'id="m{at}"') == 1
    return [text.strip().replace(f'<mark id="m{at}">', "<mark>") for text in texts]


def test_the_words_found_are_marked_in_their_message(page: Client, user: User) -> None:
    chat_session = answered(user, "One boat & <two> boats?", "Two *boats*.")
    assert marked_texts(page, chat_session, 1, "boat") == [
        "One <mark>boat</mark> &amp; &lt;two&gt; <mark>boat</mark>s?",
        '<p dir="auto">Two <em>boats</em>.</p>',
    ]
    assert marked_texts(page, chat_session, 1, '"boat <two"')[0].startswith(
        "One <mark>boat &amp; &lt;two</mark>&gt;"
    )
    assert marked_texts(page, chat_session, 2, "two boats")[1] == (
        '<p dir="auto"><mark>Two</mark> <em><mark>boats</mark></em>.</p>'
    )
    assert marked_texts(page, chat_session, 2, '"two boats"')[1] == (
        '<p dir="auto"><mark>Two </mark><em><mark>boats</mark></em>.</p>'
    )
    for query in ("", "?!", "em", "auto", "x" * 200, "é"):
        assert "<mark>" not in "".join(marked_texts(page, chat_session, 2, query)), query


def test_only_what_is_said_is_marked(page: Client, user: User) -> None:
    answer = "[copy](https://e.org/copy) $copy$\n\n```copy\ncopy\n```\n\n| copy |\n|-|\n| 1 |"
    chat_session = answered(user, answer=answer)
    plain = html(page.get(chat_url(chat_session), {"at": 2}))
    shown = html(page.get(chat_url(chat_session), {"at": "2", "q": "copy"}))
    without_more = partial(re.sub, r'value="[\w-]{36,64}"|</?mark[^>]*>| id="m2"', "")
    assert without_more(shown) == without_more(plain), "nothing but marks is added"
    assert shown.count(">copy</mark>") == 4, "link, language, code, table"
    assert "<mark>" not in "".join(re.findall(r"<(?:math|button)\b.*?</", shown, re.DOTALL))


@given(
    st.text("ab&<> \u00e9", max_size=30), st.sampled_from(["a", "ab", "aba", "&", "< b", "\u00e9&"])
)
def test_marks_are_around_the_matches_and_nothing_else(text: str, words: str) -> None:
    pattern = re.compile(re.escape(words))
    shown = str(marked(conditional_escape(text), pattern))
    assert unescape(re.sub("</?mark>", "", shown)) == text
    assert unescape("".join(re.findall("<mark>(.*?)</mark>", shown))) == "".join(
        pattern.findall(text)
    )


def test_words_are_marked_in_long_messages_too(page: Client, user: User) -> None:
    chat_session = answered(user, "so <on> & " * 50_000 + "needle")
    question, _ = marked_texts(page, chat_session, 1, "needle")
    assert question.endswith("&amp; <mark>needle</mark>")


def test_only_the_surroundings_of_long_messages_are_shown(page: Client, user: User) -> None:
    answered(user, "x" * 5000 + " " + "before " * 100 + "needle" + " after" * 100)
    [found] = texts(page, "needle")
    assert found.startswith("… before")
    assert "before needle after" in found
    assert found.endswith("…")
    assert len(found) < 260


def test_names_are_found_before_messages(page: Client, user: User) -> None:
    make_session(user=user, name="Über Schiffe")
    make_session(user=user, name="Schiffe")
    assert names(page, "über") == ["Über Schiffe"]
    assert names(page, "SCHIFF") == ["Schiffe", "Über Schiffe"]
    assert names(page, "schiffe ÜBER") == ["Über Schiffe"]
    assert names(page, "%") == names(page, "_") == names(page, ".*") == []


def test_only_own_chats_are_searched_and_neither_the_trash_nor_other_versions(
    page: Client, user: User
) -> None:
    stranger = make_session(user=make_user("bo"), name="A secret")
    say(stranger, "secret")
    trashed = make_session(user=user, name="No secret", trashed_at=timezone.now())
    say(trashed, "secret")
    own = make_session(user=user)
    say(own, "secret", set_aside_with=uuid.uuid4())
    say(own, "secret", role="system")
    phantom(user=user)
    assert "mentions “secret”" in html(page.get("/chats/", {"q": "secret"}))
    assert "mentions “Session”" in html(page.get("/chats/", {"q": "Session"}))


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("paper", True),
        ("pap", True),  # it is still being typed
        ("pap boat", False),
        ("paper fold boat", True),
        ("PAPER Boat", True),
        ('"paper boat"', True),
        ('"boat paper"', False),
        ('"paper boa"', False),
        ('"paper', True),
        ("aper", False),
        ("example.org", True),
        ("example", True),
        ("src/boat.py", True),
        ("boat.py", True),
        ("don't", True),
        ("naïve", True),
        ("ПРИВЕТ", True),
        ("東京", True),
        ("京都", False),
        ("สวัส", True),
        ("हिन्दी", True),
        ("سلام", True),
        ("c++", True),
        ("-paper", True),
        ("paper & boat | (fold)", True),
        ("paper:*", True),
        ("NEAR(paper", False),
        ('"""', False),
        ("🎉", False),
        ("🎉 paper", True),
        ("<mark>", True),
    ],
)
def test_words_of_any_language_are_found(page: Client, user: User, query: str, found: bool) -> None:
    chat_session = make_session(user=user, name="Name")
    say(
        chat_session,
        "Fold a paper boat. Don't ask a.person@example.org, read src/boat.py or "
        "C++. Naïve привет <mark> 私は東京に行く สวัสดีครับ हिन्दी سلام 🎉",
    )
    assert len(snippets(page, query)) == found


def test_what_is_found_is_escaped(page: Client, user: User) -> None:
    hostile = '<script>alert(1)</script> "><img src=x onerror=alert(1)> <b>hi</b>'
    answered(user, hostile, hostile)
    Session.objects.update(name=hostile)
    shown = html(page.get("/chats/", {"q": "script alert hi"}))
    assert "<mark>script</mark>" in shown
    for tag in ("<script>alert", "<img", "<b>"):
        assert tag not in shown


@given(st.text(max_size=200).filter(lambda text: "\0" not in text))
def test_every_text_has_a_pattern_that_finds_it(text: str) -> None:
    for term in search.parse(text):
        assert len(term.text) <= len(text)
        re.compile(term.pattern)


@pytest.mark.parametrize("query", ["x" * 200, '" ' * 100, "- " * 100, "a b " * 50, "‮‮"])
def test_odd_searches_are_answered(page: Client, user: User, query: str) -> None:
    answered(user)
    assert page.get("/chats/", {"q": query}).status_code == 200


def test_a_search_that_is_refused_says_why(page: Client, user: User) -> None:
    assert "NUL" in html(page.get("/chats/", {"q": "a\0b"}))
    assert "at most 200 characters" in html(page.get("/chats/", {"q": "x" * 201}))
    assert "New chat" in html(page.get("/chats/", {"q": "  "})), "the first page"


SEARCH_BOX = re.compile(r'<input type="search" name="q"(?: value="([^"]*)")?[^>]* id="([^"]+)"')


def search_boxes(page: Client, query: str) -> list[tuple[str, str]]:
    """What the search boxes of a page hold, and their ids."""
    return SEARCH_BOX.findall(html(page.get("/chats/", {"q": query})))


def test_the_sidebar_and_the_page_show_the_words(page: Client) -> None:
    words = "boats &amp; more"
    assert search_boxes(page, "boats & more") == [(words, "sidebar-q"), (words, "id_q")]
    assert search_boxes(page, " ") == [("", "sidebar-q")]
    assert ("", "sidebar-q") in search_boxes(page, "x" * 201), "words that are refused"


def test_changed_and_deleted_messages_are_found_as_they_are(page: Client, user: User) -> None:
    chat_session = make_session(user=user)
    message = say(chat_session, "Before")
    Message.objects.filter(pk=message.pk).update(text_content="After")
    assert texts(page, "before") == []
    assert texts(page, "after") == ["After"]
    message.delete()
    assert texts(page, "after") == []


def test_the_chats_used_last_come_first_and_only_so_many_are_counted(
    page: Client, user: User
) -> None:
    now = timezone.now()
    for number in range(3):
        chat_session = make_session(user=user, name=f"{number} days ago")
        for half in ("first", "second"):
            say(chat_session, f"boat {number} {half}")
        Session.objects.filter(pk=chat_session.pk).update(updated_at=now - timedelta(days=number))
    assert texts(page, "boat") == [
        f"boat {number} {half}" for number in range(3) for half in ("first", "second")
    ]

    for _ in range(MESSAGES_COUNTED):
        say(chat_session, "boat")
    shown = html(page.get("/chats/", {"q": "boat"}))
    assert f"more than {MESSAGES_COUNTED}" in shown
    assert len(SNIPPET.findall(shown)) == MESSAGES_PER_PAGE
    assert "?q=boat&amp;page=2" in shown
    last = html(page.get(f"/chats/?q=boat&page={MESSAGES_COUNTED // MESSAGES_PER_PAGE}"))
    assert len(SNIPPET.findall(last)) == MESSAGES_PER_PAGE
    assert "page=6" not in last
    assert "Another word narrows the search" in last
    assert "no more results" in html(page.get("/chats/?q=boat&page=9"))


def test_it_takes_the_same_queries_however_much_is_found(page: Client, user: User) -> None:
    answered(user, "boats")
    few = queries(lambda: page.get("/chats/", {"q": "boats"}))
    for _ in range(30):
        answered(user, "boats")
    # The login's session, the user, names, the messages that match, those that are shown,
    # their chats, the sidebar's chats, those pinned.
    assert few == queries(lambda: page.get("/chats/", {"q": "boats"})) == 8


def test_very_long_messages_are_found_by_how_they_begin(page: Client, user: User) -> None:
    """PostgreSQL's index has the first 200,000 characters."""
    answered(user, "needle " + "".join(f"{n} " for n in range(150_000)))
    assert len(snippets(page, "needle")) == 1
