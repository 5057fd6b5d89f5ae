"""The admin's lists and pages of runs, messages and feedback, as reviewers see them."""

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, ViewportSize, expect

from agents_app.models import Agent, Feedback
from sessions_app.models import Message
from tests.agents_app.chats import answered, failed
from tests.browser.axe import check_page
from tests.factories import make_session, say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

CALL = {"0": {"tool_name": "calculator", "args": {"expression": "2+2"}, "tool_call_id": "c"}}


WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}


def test_lists_and_pages_of_runs_messages_and_feedback(
    page: Page, user: User, agent: Agent
) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    chat_session = answered(user, "A long question " * 20, "Take the **tram** 28")
    say(chat_session, "Four", role="assistant", tool_calls=CALL, tool_outputs=CALL)
    answer = chat_session.messages.get(role=Message.Role.ASSISTANT, position=2)
    Feedback.objects.create(message=answer, user=user, is_good=False, reason="Made up " * 20)
    other = say(chat_session, "# A heading\n\n" + "* An item of a list\n" * 20, role="assistant")
    Feedback.objects.create(message=other, user=user, is_good=True)
    failed(user, error="The provider is busy.\n" + "For long " * 30)

    def open_first(path: str, what: str, words: str) -> None:
        page.goto(path)
        expect(page.locator("#result_list")).to_contain_text(words)
        check_widths(page, f"list of {what}")
        assert len(heights(page)) == 1, "rows of one height"
        page.locator("#result_list tbody tr").first.locator("th a").click()
        page.wait_for_load_state()
        expect(page.locator("h1")).to_be_visible()
        check_widths(page, what)

    open_first("/admin/agents_app/agentrun/", "runs", "Failed")
    open_first("/admin/sessions_app/message/?q=tram", "messages", "tram")
    open_first("/admin/agents_app/feedback/", "feedback", "Bad")
    page.goto("/admin/sessions_app/message/?q=four")
    expect(page.locator("#result_list mark")).to_have_text("Four")
    page.locator("#result_list th a").first.click()
    page.get_by_text("calculator", exact=True).first.click()
    expect(page.locator("pre.json").first).to_contain_text("2+2")
    check_page(page, "an open tool call")


def test_the_list_of_runs_shows_tokens_and_cost_beside_filters_above_it(
    page: Page, user: User, agent: Agent
) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    chat_session = answered(user, "A long question " * 20)
    chat_session.runs.update(
        model="openai:gpt-4.1-mini-2025-04-14",
        input_tokens=1_234_567,
        output_tokens=89_012,
        cost=Decimal("12.3456"),
    )
    failed(user, error="The provider is busy, and says so at length. " * 9)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/admin/agents_app/agentrun/")
    box = page.locator(".results")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth"), "nothing is cut off"
    for text in ("1,234,567 / 89,012", "$12.35"):
        expect(page.get_by_role("cell", name=text)).to_be_in_viewport(ratio=1)
    page.locator(".list-filters summary", has_text="Status").click()
    check_widths(page, "list with an open filter")
    page.get_by_role("link", name="Failed", exact=True).click()
    expect(page.locator(".list-filters summary", has_text="Status")).to_have_text("Status: Failed")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def test_phones_show_the_words_that_messages_are_searched_for(
    page: Page, user: User, agent: Agent
) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    say(make_session(), "A word " * 7 + "harbour" + " and more" * 20)
    page.set_viewport_size(NARROW)
    page.goto("/admin/sessions_app/message/?q=harbour")
    mark = page.locator("#result_list mark").bounding_box()
    shown = page.locator("#result_list .field-excerpt a").bounding_box()
    assert mark
    assert shown
    assert mark["y"] + mark["height"] <= shown["y"] + shown["height"] + 1


def check_widths(page: Page, what: str) -> None:
    for size in (NARROW, WIDE):
        page.set_viewport_size(size)
        check_page(page, f"{what}, {size['width']}")


def heights(page: Page) -> set[Any]:
    """The heights of the list's rows."""
    rows = page.locator("#result_list tbody tr")
    return {round(height) for height in rows.evaluate_all("all => all.map(r => r.clientHeight)")}
