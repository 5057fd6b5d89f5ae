"""The sidebar and the list of all chats: what they show, and how many queries they take."""

import re
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents_app.web.chat_lists import age_label
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, ask, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, queries
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db(transaction=True)


def make_chat(user: User, name: str, used: datetime, **values: Any) -> Session:
    chat_session = make_session(user=user, name=name, **values)
    say(chat_session)
    Session.objects.filter(pk=chat_session.pk).update(updated_at=used)
    return chat_session


def make_chats(user: User, count: int) -> None:
    now = timezone.now()
    made = Session.objects.bulk_create(
        Session(
            user=user,
            name=f"Chat {number}",
            platform="web",
            # Several are used at the same time, as imported ones are.
            updated_at=now - timedelta(minutes=number // 3),
        )
        for number in range(count)
    )
    Message.objects.bulk_create(
        Message(session=chat_session, position=1, role="user", text_content="Hello")
        for chat_session in made
    )


def names(response: Any) -> list[str]:
    return re.findall(r'class="chat-name" dir="auto">([^<]+)', html(response))


def groups(response: Any) -> list[str]:
    return re.findall(r'<p class="group"[^>]*>([^<]+)', html(response))


def next_part(response: Any) -> str:
    [url] = re.findall(r'data-more="([^"]+)"', html(response))
    return str(url)


def test_own_chats_that_have_messages_last_used_first(page: Client, user: User) -> None:
    now = timezone.now()
    for hours in (2, 1, 3):
        make_chat(user, f"{hours} hours ago", now - timedelta(hours=hours))
    make_chat(make_user("bo"), "Somebody else's", now)
    phantom(user=user)
    make_session(user=user, name="Empty")
    shown = page.get("/chats/")
    assert names(shown) == ["1 hours ago", "2 hours ago", "3 hours ago"]
    assert names(page.get("/chats/sidebar/")) == names(shown)


@pytest.mark.parametrize(
    ("days", "label"),
    [
        (-1, "Today"),
        (0, "Today"),
        (1, "Yesterday"),
        (2, "Previous 7 days"),
        (7, "Previous 7 days"),
        (8, "Previous 30 days"),
        (30, "Previous 30 days"),
        (31, "May"),
        (300, "August 2025"),
    ],
)
def test_chats_are_grouped_by_age(days: int, label: str) -> None:
    today = datetime(2026, 6, 20, 12, tzinfo=UTC)
    assert age_label(today - timedelta(days=days), today.date()) == label
    assert age_label(datetime.min.replace(tzinfo=UTC), today.date()) == "January 0001"


def test_pinned_chats_stand_above_the_others(page: Client, user: User) -> None:
    now = timezone.now()
    make_chat(user, "New", now)
    old = make_chat(user, "Old", now - timedelta(days=90))
    url = chat_url(old, "chat-pin")
    assert page.post(url, {"pinned": "on"}).status_code == 303
    shown = page.get("/chats/")
    assert (names(shown), groups(shown)[0]) == (["Old", "New"], "Pinned")
    assert page.post(url, headers=JSON).json() == {"pinned": False}
    assert names(page.get("/chats/")) == ["New", "Old"]


def test_current_chat_is_marked(page: Client, user: User) -> None:
    chat_session = answered(user)
    marked = re.compile(rf'href="{chat_url(chat_session)}" aria-current="page"')
    assert marked.search(html(page.get(chat_url(chat_session))))
    assert marked.search(html(page.get(f"/chats/sidebar/?current={chat_session.pk}")))
    assert not marked.search(html(page.get("/chats/")))


def test_imported_chats_show_their_first_words(page: Client, user: User) -> None:
    chat_session = phantom(user=user)
    say(chat_session, "Be nice", role="system")
    say(chat_session, "## How do **I** [sail](https://example.org)?")
    say(chat_session, "And then?")
    assert names(page.get("/chats/")) == ["How do I sail?"]
    shown = html(page.get(chat_url(chat_session)))
    assert "How do I sail?</h1>" in shown
    assert "Session-" not in shown


def test_chat_is_named_without_marks(page: Client, user: User) -> None:
    ask(user, "# **Plan** the `trip`\n- by ~~car~~ train")
    assert Session.objects.get().name == "Plan the trip by car train"


def test_every_chat_is_reached_by_showing_more(page: Client, user: User) -> None:
    make_chats(user, 95)
    part = page.get("/chats/")
    shown, headings = names(part), groups(part)
    assert len(shown) == 40
    for _ in range(2):
        part = page.get(next_part(part).replace("&amp;", "&"))
        shown += names(part)
        headings += groups(part)
    assert "data-more" not in html(part)
    assert sorted(shown) == sorted(f"Chat {number}" for number in range(95))
    assert len(headings) == len(set(headings)), "a group goes on without its heading"
    assert len(names(page.get("/chats/sidebar/?count=80"))) == 80

    listed = html(page.get("/chats/all/"))
    [older] = re.findall(r'rel="next" href="([^"]+)"', listed)
    both = listed + html(page.get("/chats/all/" + older))
    assert both.count('name="chats"') == 95


@pytest.mark.parametrize("place", ["x", "2026-01-01_x", "2026-01-01T00:00:00_" + "0" * 32, "_"])
def test_invalid_cursors_are_404(page: Client, place: str) -> None:
    for url in ("/chats/sidebar/", "/chats/all/", "/chats/trash/"):
        assert page.get(url, {"after": place}).status_code == 404


def test_many_chats_take_as_few_queries_as_few(page: Client, user: User) -> None:
    answered(user)

    def counts() -> list[int]:
        urls = ("/chats/sidebar/", "/chats/all/")
        return [queries(partial(page.get, url)) for url in urls]

    few = counts()
    make_chats(user, 1_000)
    ask(user)
    # The login's session, the user, the chats, those pinned; and the ticked list's own.
    assert few == counts() == [4, 5]


def test_selected_chats_are_changed_together(page: Client, user: User) -> None:
    chats = [answered(user, f"Chat {number}") for number in range(3)]
    foreign = answered(make_user("bo"))
    ticked = [str(chats[0].pk), str(chats[1].pk), str(foreign.pk)]

    def act(action: str) -> str:
        response = page.post("/chats/all/", {"action": action, "chats": ticked})
        assert (response.status_code, response["Location"]) == (303, "/chats/all/")
        return html(page.get("/chats/all/"))

    assert "Pinned 2 chats." in act("pin")
    assert Session.objects.filter(pinned_at=None).count() == 2
    assert "Unpinned 2 chats." in act("unpin")
    assert Session.objects.filter(pinned_at=None).count() == 4
    after = act("delete")
    assert "Deleted 2 chats." in after
    assert names(page.get("/chats/")) == ["Chat 2"]
    [undo] = re.findall(r'name="trashed_at" value="([^"]+)"', after)
    assert page.post("/chats/restore/", {"trashed_at": undo}).status_code == 303
    assert sorted(names(page.get("/chats/"))) == ["Chat 0", "Chat 1", "Chat 2"]


@pytest.mark.parametrize(
    ("form", "complaint"),
    [
        ({"action": "delete"}, "Select the chats first."),
        ({"action": "eat", "chats": ["0" * 32]}, "This form is damaged"),
        ({"action": "delete", "chats": ["x"]}, "This form is damaged"),
    ],
)
def test_refused_forms_change_nothing(
    page: Client, user: User, form: dict[str, Any], complaint: str
) -> None:
    answered(user)
    page.post("/chats/all/", form)
    assert complaint in html(page.get("/chats/all/"))
    assert Session.objects.filter(trashed_at=None).count() == 1
