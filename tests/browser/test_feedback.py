"""Thumbs up and down, with and without JavaScript."""

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import expect

from agents_app.models import Feedback
from tests.agents_app.chats import answered
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send, wait_for_end
from tests.browser.conftest import OpenPage
from tests.model_server import ToldModel


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("width", [390, 1440])
def test_bad_answer_and_why(open_page: OpenPage, user: User, javascript: bool, width: int) -> None:
    chat_session = answered(user)
    page = open_page(
        f"/chats/{chat_session.pk}/",
        java_script_enabled=javascript,
        viewport={"width": width, "height": 800},
    )
    bad = page.get_by_role("button", name="Bad answer")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "true")
    if not javascript:
        page.get_by_text("Say why").click()
    page.get_by_label("What was wrong with it?").fill("Made up")
    if javascript:
        expect(bad).to_be_visible()
        check_page(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your reason")).to_be_visible()
    assert list(Feedback.objects.values_list("is_good", "reason")) == [(False, "Made up")]
    page.reload()
    expect(bad).to_have_attribute("aria-pressed", "true")
    bad.click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    assert not Feedback.objects.exists()


def test_answer_that_has_just_come_can_be_rated(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page()
    send(page, "Hello")
    answer = model.asked().say("Good day")
    expect(conversation(page)).to_contain_text("Good day")
    expect(page.get_by_role("button", name="Good answer")).to_have_count(0)
    answer.end()
    wait_for_end(page)
    good = page.get_by_role("button", name="Good answer")
    good.focus()
    page.keyboard.press("Enter")
    expect(good).to_have_attribute("aria-pressed", "true")
    expect(good).to_be_focused()
    expect(page.get_by_label("What was good about it?")).to_be_visible()
    assert Feedback.objects.get().is_good


def test_refused_feedback_is_told(open_page: OpenPage, user: User) -> None:
    chat_session = answered(user)
    page = open_page(f"/chats/{chat_session.pk}/")
    page.route("**/feedback/", lambda route: route.abort())
    good = page.get_by_role("button", name="Good answer")
    good.click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(good).to_have_attribute("aria-pressed", "false")
