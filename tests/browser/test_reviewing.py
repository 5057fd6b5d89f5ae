"""What a reviewer must not lose on a session's page: an unsaved note, and the scroll position.

One test: the served process remembers content types, whose ids change when tables are emptied.
"""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.models import Agent
from sessions_app.models import Review
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import make_session, say
from tests.sessions_app.admin.helpers import change_url

pytestmark = pytest.mark.django_db(transaction=True)

NOTE = "Wrong from the second answer on"


def test_neither_a_note_nor_the_reading_place_is_lost(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    older = make_session(name="Older")
    chat_session = make_session(name="Newer " * 120)
    for _ in range(12):
        say(chat_session, "A line.\n\n" * 10)
    url = change_url(chat_session)
    asked: list[str] = []
    page = open_page(url, dialogs=asked, viewport={"width": 1440, "height": 800})
    heading = page.locator("#content h1")
    assert (
        heading.evaluate("h1 => h1.clientHeight / parseFloat(getComputedStyle(h1).lineHeight)") < 4
    )

    # Leaving asks for confirmation, which is declined here.
    page.get_by_label("Note").fill(NOTE)
    page.get_by_role("link", name="Next").click(no_wait_after=True)
    expect(page.get_by_label("Note")).to_have_value(NOTE)
    assert asked == ["beforeunload"]
    heading.click()
    page.keyboard.press("j")
    expect(page.get_by_label("Note")).to_have_value(NOTE)
    assert asked == ["beforeunload"] * 2
    expect(page).to_have_url(url)

    # Any button of the form saves the note without asking, and keeps the scroll position.
    show_message(page)
    for name in ("Flag", "Keep"):
        button = page.get_by_role("button", name=name)
        place = place_of_message(page)
        button.evaluate("element => element.click()")  # Playwright's own may scroll
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(page.locator(".messagelist.in-sight li")).to_be_in_viewport()
        assert abs(place_of_message(page) - place) < 2
    check_page(page, "after a review in the middle of a conversation")
    assert Review.objects.get().note == NOTE

    # The position applies to this page only.
    page.keyboard.press("j")
    expect(page).to_have_url(change_url(older))
    assert page.evaluate("scrollY") == 0
    assert asked == ["beforeunload"] * 2


def show_message(page: Page) -> None:
    page.locator("#m7").evaluate("element => element.scrollIntoView({ behavior: 'instant' })")


def place_of_message(page: Page) -> float:
    return float(page.locator("#m7").evaluate("element => element.getBoundingClientRect().top"))
