"""A locked database, as seen by a user who sends a message."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from sessions_app.models import Message
from tests.browser.conftest import OpenPage
from tests.conftest import database_url
from tests.locks import writers_locked_out
from tests.model_server import ToldModel
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def served(django_db_setup: None, model_server: ToldModel) -> Iterator[str]:
    with serve(
        database_url(),
        AGENT_MODEL="fake",
        AGENT_BASE_URL=model_server.base_url,
        DJANGO_SETTINGS_MODULE="tests.impatient_settings",
    ) as server:
        yield server.address


def write(page: Page) -> None:
    page.get_by_label("Message").fill("Line one\nline two")


def test_the_page_says_why_and_keeps_the_text(page: Page, model: ToldModel) -> None:
    write(page)
    with writers_locked_out():
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("alert")).to_have_text("The server is busy. Try again in a moment.")
    expect(page.get_by_label("Message")).to_have_value("Line one\nline two")

    page.get_by_role("button", name="Send").click()
    model.asked().end()
    expect(page.get_by_role("log")).to_contain_text("line two")
    assert Message.objects.filter(role="user").count() == 1


def test_without_a_script_the_text_is_on_the_page_that_says_so(
    open_page: OpenPage, model: ToldModel, user: User
) -> None:
    page = open_page(java_script_enabled=False)
    write(page)
    with writers_locked_out():
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The server is busy")
    expect(page.get_by_label("Message")).to_have_value("Line one\nline two")

    again = page.get_by_role("button", name="Try again")
    again.click(no_wait_after=True)
    model.asked().end()
    expect(page.get_by_role("log")).to_contain_text("line two")
    assert Message.objects.filter(role="user").count() == 1
