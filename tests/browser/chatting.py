"""Actions and locators that the browser tests share."""

import re
from typing import Any

from playwright.sync_api import Page, expect

CHAT = re.compile(r"/chats/[0-9a-f-]{36}/")


def write(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)


def send(page: Page, text: str) -> None:
    write(page, text)
    page.get_by_role("button", name="Send").click()


def wait_for_end(page: Page) -> None:
    """Wait for the end of the answer that is being written."""
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


def conversation(page: Page) -> Any:
    return page.get_by_role("log")


def agent_chip(page: Page) -> Any:
    return page.get_by_role("button", name="Agent:")


def choose_agent(page: Page, name: str) -> None:
    agent_chip(page).click()
    page.get_by_role("option", name=name).click()
