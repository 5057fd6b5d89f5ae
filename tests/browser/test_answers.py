"""What the page shows about an answer during and after writing."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from agents_app.models import AgentRun
from tests.agents_app.chats import answered
from tests.browser.chatting import conversation, send, wait_for_end
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel


@pytest.mark.parametrize("width", [390, 1440])
def test_reasoning_while_and_after(open_page: OpenPage, model: ToldModel, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    model.thinking = "First I wonder, then I know."
    try:
        send(page, "Why?")
        answer = model.asked()
        expect(conversation(page).get_by_text("Thinking…")).to_be_visible()
        answer.say("Because.")
        expect(conversation(page)).to_contain_text("Because.")
        expect(conversation(page).get_by_text("The answer is being written.")).to_be_visible()
        answer.end()
        wait_for_end(page)
    finally:
        model.thinking = ""
    expect(page.get_by_text("First I wonder")).to_be_hidden()
    page.get_by_text("Reasoning").click()
    expect(page.get_by_text("First I wonder")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    expect(page.get_by_text("First I wonder")).to_be_hidden()


@pytest.mark.parametrize("javascript", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("width", [390, 1440])
def test_cut_off_answer_is_continued(
    open_page: OpenPage, user: User, model: ToldModel, width: int, javascript: bool
) -> None:
    window = {"viewport": {"width": width, "height": 800}, "java_script_enabled": javascript}
    page = open_page(f"/chats/{answered(user).pk}/", **window)
    said = page.get_by_text("The answer reached the length limit.")
    model.finish_reason = "length"
    try:
        model.will_say("One, two,")
        send(page, "Count")
        expect(said).to_be_visible()
    finally:
        model.finish_reason = "stop"
    model.will_say("three.")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("[data-turn]").last).to_contain_text("three.")
    expect(page.locator("[data-turn]").last).to_contain_text("One, two,")
    expect(page.locator("[data-turn]")).to_have_count(2)
    expect(said).to_have_count(0)


def test_limits_are_told_where_they_are(open_page: OpenPage, user: User, model: ToldModel) -> None:
    chat_session = answered(user, "First")
    page = open_page(f"/chats/{chat_session.pk}/")
    model.finish_reason = "length"
    try:
        send(page, "Go on for ever, " + "please " * 20_000)
        model.asked().say("And so").end()
        expect(page.get_by_text("The answer reached the length limit.")).to_be_visible()
        expect(page.get_by_role("button", name="Continue")).to_be_visible()
    finally:
        model.finish_reason = "stop"
    assert AgentRun.objects.filter(context_from=3, truncated=True).count() == 1
    line = page.get_by_text("The agent no longer sees the messages above.")
    expect(line).to_have_count(1)
    position = "node => node.nextElementSibling.querySelector('article').id"
    assert line.evaluate(position) == "m3"
    page.reload()
    expect(line).to_have_count(1)
    assert line.evaluate(position) == "m3"
