"""The keyboard, and the title of a tab in the background."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.agents_app.chats import answered
from tests.browser.chatting import conversation, send, wait_for_end, write
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel

pytestmark = pytest.mark.browser_only


def test_escape_stops_the_answer_but_not_while_something_is_open(
    page: Page, model: ToldModel
) -> None:
    send(page, "Count")
    model.asked().say("One, two, ")
    expect(conversation(page)).to_contain_text("One, two,")
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    expect(page.get_by_label("New name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("New name")).to_be_hidden()
    page.locator("body").press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.get_by_label("Message").press("Escape")
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    wait_for_end(page)


def test_escape_closes_the_drawer_and_stops_nothing(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    send(page, "Count")
    answer = model.asked().say("One, two, ")
    expect(conversation(page)).to_contain_text("One, two,")
    page.get_by_role("link", name="Open the list of chats").click()
    expect(page.locator("#sidebar")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#sidebar")).to_be_hidden()
    answer.say("three.").end()
    expect(conversation(page)).to_contain_text("One, two, three.")
    wait_for_end(page)
    expect(page.get_by_text("Stopped", exact=True)).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1440])
def test_list_of_shortcuts(open_page: OpenPage, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    page.get_by_label("Message").press("?")
    page.keyboard.type("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="All shortcuts").click()
    dialog = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Stop the answer")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_arrow_up_in_an_empty_box(page: Page, model: ToldModel) -> None:
    send(page, "First")
    answer = model.asked().say("Let me think")
    expect(conversation(page)).to_contain_text("Let me think")
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_be_visible()
    page.get_by_label("Message").press("ArrowUp")
    expect(page.get_by_label("Message")).to_have_value("Second")
    answer.end()
    wait_for_end(page)
    page.get_by_label("Message").press("ArrowUp")
    expect(page.locator("[data-edit-form]")).to_have_count(0)
    write(page, "")
    page.get_by_label("Message").press("ArrowUp")
    edited = page.locator("[data-edit-form] textarea")
    expect(edited).to_have_value("First")
    edited.press("Escape")
    expect(edited).to_have_count(0)


@pytest.mark.parametrize("key", ["Control+k", "Meta+k"])
def test_search_opens(page: Page, key: str) -> None:
    page.locator("[name=q]").evaluate("field => { field.dataset.search = ''; }")
    page.get_by_label("Message").press(key)
    expect(page.locator("[name=q]")).to_be_focused()


LEAVE = "document.hasFocus = () => false; dispatchEvent(new Event('blur'))"
RETURN = "document.hasFocus = () => true; dispatchEvent(new Event('focus'))"


def test_title_tells_of_the_answer_in_the_background(
    open_page: OpenPage, user: User, model: ToldModel
) -> None:
    chat_session = answered(user, "Weather")
    page = open_page(f"/chats/{chat_session.pk}/")
    send(page, "And now?")
    answer = model.asked().say("It rains.")
    expect(conversation(page)).to_contain_text("It rains.")
    expect(page).to_have_title(re.compile("^Weather"))
    page.evaluate(LEAVE)
    expect(page).to_have_title(re.compile("^Answering… – Weather"))
    answer.end()
    expect(page).to_have_title(re.compile("^Answer ready – Weather"))
    page.evaluate(RETURN)
    expect(page).to_have_title(re.compile("^Weather"))
