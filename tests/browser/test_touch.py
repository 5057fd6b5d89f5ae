"""On touch screens, all controls are at least 44 pixels high and wide, on every page."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from playwright.sync_api import Page, expect

from agents_app.models import Agent
from tests.agents_app.chats import make_agent
from tests.browser.chat_pages import PAGES, full_chat, ids_for
from tests.browser.chatting import agent_chip, send
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABLET = PHONE | {"viewport": {"width": 1024, "height": 768}}

# For checkboxes and radio buttons, the label counts. A link within prose is as high as its line.
TOO_SMALL = """() => {
    const controls = "a[href], button, summary, select, textarea, [role=option], [role=button], " +
        "input:not([type=hidden], [type=checkbox], [type=radio]), label:has(input)";
    const isWords = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
    const isProse = (link) => link.matches("a, button.link")
        && Array.from(link.parentElement.childNodes).some(isWords);
    const isShown = (element) => element.checkVisibility({ visibilityProperty: true })
        && !element.closest("[inert], .visually-hidden, .task, .skip, [aria-hidden=true]")
        && !element.matches(":disabled");
    return Array.from(document.querySelectorAll(controls))
        .filter((element) => isShown(element) && !isProse(element))
        .map((element) => [element, element.getBoundingClientRect()])
        .filter(([, box]) => box.height < 43.9 || box.width < 43.9)
        .map(([{ outerHTML }, box]) => `${outerHTML.slice(0, 120)}: ${box.width} × ${box.height}`);
}"""

ACCOUNT = ["settings", "password/change", "email", "logins", "delete", "keys", "logout"]
ACCOUNT_OF_NOBODY = ["login", "password/reset", "password/reset/done", "signup", "inactive"]


def check(page: Page, what: str) -> None:
    assert page.evaluate("matchMedia('(pointer: coarse)').matches")
    page.wait_for_load_state()
    assert page.evaluate(TOO_SMALL) == [], what


@pytest.mark.parametrize("device", [PHONE, TABLET], ids=["phone", "tablet"])
def test_all_pages(open_page: OpenPage, user: User, agent: Agent, device: dict[str, Any]) -> None:
    make_agent("summary", description="Sums up long texts.")
    chat_session = full_chat(user, agent)
    page = open_page(**device)
    for name, queries in PAGES.items():
        for query in queries:
            page.goto(reverse(name, kwargs=ids_for(name, chat_session)) + query)
            check(page, f"{name}{query}")
            for folded in page.locator("main details").all():
                folded.evaluate("element => { element.open = true; }")
            check(page, f"{name}{query}, unfolded")
    for path in ACCOUNT:
        page.goto(f"/accounts/{path}/")
        check(page, path)
    page.goto("/chats/nowhere/")
    check(page, "an error")
    visitor = open_page("/accounts/login/", login=False, **device)
    for path in ACCOUNT_OF_NOBODY:
        visitor.goto(f"/accounts/{path}/")
        check(visitor, path)


@pytest.mark.parametrize("device", [PHONE, TABLET], ids=["phone", "tablet"])
def test_what_opens_and_what_comes_and_goes(
    open_page: OpenPage, agent: Agent, model: ToldModel, device: dict[str, Any]
) -> None:
    make_agent("summary", description="Sums up long texts.")
    page = open_page(**device)
    agent_chip(page).click()
    expect(page.get_by_role("option").first).to_be_visible()
    check(page, "the list of agents")
    page.keyboard.press("Escape")
    send(page, "Hello")
    answer = model.asked().think("Hm.").say("Good ")
    expect(page.get_by_role("log")).to_contain_text("Good")
    page.get_by_label("Message").fill("And then?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("button", name="Take back")).to_be_visible()
    check(page, "a message that waits")
    page.get_by_role("button", name="Take back").click()
    answer.end()
    expect(page.get_by_text("Reasoning")).to_be_visible()
    check(page, "an answer with reasoning")
    page.get_by_role("button", name="with another agent").click()
    expect(page.get_by_role("dialog", name="Regenerate with")).to_be_visible()
    check(page, "the other agents")
    page.keyboard.press("Escape")
    if device is PHONE:
        page.get_by_role("link", name="Open the list of chats").click()
        expect(page.get_by_role("complementary")).to_be_visible()
    page.locator(".sidebar .menu > summary").first.click()
    expect(page.get_by_role("link", name="Export as JSON")).to_be_visible()
    check(page, "a chat's menu")
    page.locator(".sidebar").get_by_role("link", name="Rename").click()
    expect(page.get_by_role("dialog", name="Rename")).to_be_visible()
    check(page, "the dialog for a name")
