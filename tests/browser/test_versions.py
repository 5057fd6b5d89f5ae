"""Copying, editing and regenerating in a real browser, and the versions of messages."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send
from tests.browser.conftest import OpenPage
from tests.factories import make_session, say
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
SIZES = [pytest.param(PHONE, id="390"), pytest.param(DESKTOP, id="1440")]
WITHOUT_SCRIPT = [
    pytest.param(
        {**size, "java_script_enabled": on}, id=f"{name}-{'script' if on else 'no script'}"
    )
    for name, size in (("390", PHONE), ("1440", DESKTOP))
    for on in (True, False)
]
# Not the button beside it, which is also shown before the styles have loaded.
REGENERATE = re.compile(r"^Regenerate answer \d+$")
ANSWER = "# Boats\n\nThey **float** because of this:\n\n```python\nprint(1)\n```\n\nAnd that."


@pytest.fixture
def chat_session(user: User, agent: Agent) -> Session:
    """Two turns, with more than one of everything."""
    chat_session = make_session(user=user, agent=agent, name="Boats")
    for question in ("Why do boats float?", "And trains?"):
        say(chat_session, question, user=user)
        say(chat_session, ANSWER, role="assistant", agent=agent)
    return chat_session


def path(chat_session: Session) -> str:
    return f"/chats/{chat_session.pk}/"


def turns(page: Page) -> Any:
    return page.locator("[data-turn]")


def press(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=name).last.click()


@pytest.mark.parametrize("window", WITHOUT_SCRIPT)
def test_regenerate_and_go_back(
    open_page: OpenPage, model: ToldModel, chat_session: Session, window: dict[str, Any]
) -> None:
    page = open_page(path(chat_session), **window)
    expect(page.get_by_role("button", name="Regenerate")).to_have_count(1)
    model.will_say("Another way.")
    press(page, "Regenerate")
    expect(turns(page).last).to_contain_text("Another way.")
    expect(turns(page).last).not_to_contain_text("And that.")
    expect(turns(page)).to_have_count(2)
    expect(page.get_by_role("button", name="Regenerate answer 3", exact=True)).to_be_visible()
    expect(page.get_by_text("Version 2 of 2")).to_be_attached()

    press(page, "Previous version of answer")
    expect(turns(page).last).to_contain_text("And that.")
    expect(page.get_by_text("Version 1 of 2")).to_be_attached()
    press(page, "Next version of answer")
    expect(turns(page).last).to_contain_text("Another way.")


@pytest.mark.parametrize("window", WITHOUT_SCRIPT)
def test_edit_a_message_and_go_back(
    open_page: OpenPage, model: ToldModel, chat_session: Session, window: dict[str, Any]
) -> None:
    page = open_page(path(chat_session), **window)
    turns(page).first.hover()
    page.get_by_role("link", name="Edit").first.click()
    box = page.get_by_label("Edited text")
    expect(box).to_have_value("Why do boats float?")
    box.fill("Why do birds fly?")
    model.will_say("They have wings.")
    page.get_by_role("button", name="Save and send").click()
    expect(conversation(page)).to_contain_text("They have wings.")
    expect(turns(page)).to_have_count(1)
    expect(conversation(page)).not_to_contain_text("And trains?")
    expect(page.get_by_text("Version 2 of 2")).to_be_attached()
    expect(page.get_by_role("button", name=REGENERATE)).to_be_visible()

    press(page, "Previous version of question")
    expect(turns(page)).to_have_count(2)
    expect(conversation(page)).to_contain_text("And trains?")
    expect(page.get_by_text("Version 1 of 2")).to_be_attached()


def test_stop_and_regenerate(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page()
    send(page, "Tell me")
    model.asked().say("As far as it")
    expect(conversation(page)).to_contain_text("As far as it")
    press(page, "Stop")
    expect(conversation(page)).to_contain_text("Stopped")
    model.will_say("All of it.")
    press(page, "Regenerate")
    expect(turns(page).last).to_contain_text("All of it.")
    expect(page.get_by_text("Version 2 of 2")).to_be_attached()
    expect(page.get_by_label("Message")).to_be_focused()
    press(page, "Previous version of answer")
    expect(turns(page).last).to_contain_text("As far as it")


def test_the_versions_stay_when_the_new_answer_fails(
    open_page: OpenPage, model: ToldModel, chat_session: Session
) -> None:
    page = open_page(path(chat_session))
    model.fail()
    press(page, "Regenerate")
    expect(turns(page).last.get_by_role("button", name="Retry")).to_be_visible()
    press(page, "Previous version of answer")
    expect(turns(page).last).to_contain_text("And that.")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)


def test_editing_is_cancelled(open_page: OpenPage, chat_session: Session) -> None:
    page = open_page(path(chat_session))
    link = page.get_by_role("link", name="Edit question 3")
    for with_keyboard in (True, False):
        link.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_label("Edited text")).to_be_focused()
        page.keyboard.type(" Surely not")
        if with_keyboard:
            page.keyboard.press("Escape")
        else:
            page.get_by_role("link", name="Cancel").click()
        expect(page.get_by_label("Edited text")).to_have_count(0)
        expect(link).to_be_focused()
        expect(turns(page).last).to_contain_text("And trains?")
    assert Message.objects.count() == 4


def test_an_edit_that_is_refused_keeps_the_text(open_page: OpenPage, chat_session: Session) -> None:
    page = open_page(path(chat_session))
    page.get_by_role("link", name="Edit question 3").click()
    page.get_by_label("Edited text").fill("Other words")
    Agent.objects.update(active=False)
    page.get_by_role("button", name="Save and send").click()
    expect(page.get_by_role("alert").last).to_contain_text("not available")
    expect(page.get_by_label("Edited text")).to_have_value("Other words")


def test_copy_what_the_agent_wrote(open_page: OpenPage, chat_session: Session) -> None:
    page = open_page(path(chat_session), permissions=["clipboard-read", "clipboard-write"])
    names = page.get_by_role("button", name="Copy").evaluate_all(
        "buttons => buttons.map((button) => button.ariaLabel ?? button.textContent.trim())"
    )
    assert len(names) == len({*names}) == 6
    page.get_by_role("button", name="Copy answer").last.click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == ANSWER
    page.get_by_role("button", name="Copy question 3").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text == 'And trains?')")


def test_a_second_window_notices(
    open_page: OpenPage, model: ToldModel, chat_session: Session
) -> None:
    page = open_page(path(chat_session))
    other = open_page(path(chat_session), beside=page)
    model.will_say("Another way.")
    press(page, "Regenerate")
    expect(turns(page).last).to_contain_text("Another way.")
    other.evaluate("dispatchEvent(new Event('focus'))")
    expect(turns(other).last).to_contain_text("Another way.")
    press(page, "Previous version of answer")
    expect(turns(page).last).to_contain_text("And that.")
    other.evaluate("dispatchEvent(new Event('focus'))")
    expect(turns(other).last).to_contain_text("And that.")


def test_an_answer_that_was_cut_off_goes_on(
    open_page: OpenPage, model: ToldModel, user: User, agent: Agent
) -> None:
    page = open_page()
    model.will_say("As far as the limit")
    send(page, "Tell me")
    expect(conversation(page)).to_contain_text("As far as the limit")
    expect(page.get_by_role("button", name=REGENERATE)).to_be_visible()
    model.asked()
    AgentRun.objects.update(truncated=True)
    page.reload()
    press(page, "Continue")
    answer = model.asked()
    said = [message["content"] for message in answer.messages if message["role"] != "system"]
    assert said[:2] == ["Tell me", "As far as the limit"]
    assert len(said) == 3
    answer.say("and beyond.")
    expect(turns(page).last).to_contain_text("and beyond.")
    expect(turns(page).last).to_contain_text("As far as the limit")
    answer.end()
    expect(page.get_by_role("button", name=REGENERATE)).to_be_visible()
    expect(turns(page).last).to_contain_text("As far as the limit")
    expect(turns(page)).to_have_count(1)


def test_a_screen_reader_hears_how_an_answer_begins(page: Page, model: ToldModel) -> None:
    send(page, "Tell me a lot")
    expect(page.get_by_role("status")).to_have_text("The agent is answering.")
    model.asked().say("Boats float. " * 80).end()
    expect(page.get_by_role("status")).to_contain_text("Answer ready. Boats float.")
    assert len(page.get_by_role("status").inner_text()) < 150


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("window", SIZES)
def test_no_violations(
    open_page: OpenPage,
    model: ToldModel,
    chat_session: Session,
    window: dict[str, Any],
    scheme: str,
) -> None:
    page = open_page(path(chat_session), color_scheme=scheme, **window)
    model.will_say("Another way.")
    press(page, "Regenerate")
    expect(turns(page).last).to_contain_text("Another way.")
    page.get_by_role("link", name="Edit").last.click()
    expect(page.get_by_label("Edited text")).to_be_focused()
    page.locator(".about-answer summary").first.click()
    for address in (None, f"{path(chat_session)}messages/{first_message(chat_session)}/edit/"):
        if address:
            page.goto(address)
        check_page(page)
        page.set_viewport_size({"width": 320, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def first_message(chat_session: Session) -> Any:
    return Message.objects.filter(session=chat_session).earliest("position").pk
