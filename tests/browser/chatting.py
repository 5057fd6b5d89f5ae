"""What the browser's tests of chatting do on the page, and where they look."""

import re
from typing import Any

from playwright.sync_api import Page

CHAT = re.compile(r"/chats/[0-9a-f-]{36}/")


def write(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)


def send(page: Page, text: str) -> None:
    write(page, text)
    page.get_by_role("button", name="Send").click()


def conversation(page: Page) -> Any:
    return page.get_by_role("log")
