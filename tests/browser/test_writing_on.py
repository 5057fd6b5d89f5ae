"""Writing the next message while an answer is being written."""

import re

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered
from tests.browser.chatting import conversation, send, wait_for_end, write
from tests.browser.conftest import OpenPage
from tests.concurrency.helpers import wait_until
from tests.model_server import Answer, ToldModel

WAITING = "Queued until the answer ends."


def ask(page: Page, model: ToldModel) -> Answer:
    """A chat whose answer is being written."""
    send(page, "First")
    answer = model.asked().say("Let me think")
    expect(conversation(page)).to_contain_text("Let me think")
    return answer


def said() -> list[str]:
    rows = Message.objects.filter(role="user").order_by("position")
    return list(rows.values_list("text_content", flat=True))


@pytest.mark.parametrize("width", [390, 1440])
def test_next_message_goes_when_the_answer_has_ended(
    open_page: OpenPage, model: ToldModel, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    answer = ask(page, model)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    send(page, "Second\nline")
    expect(page.locator("[data-queued]").get_by_text(WAITING)).to_be_in_viewport()
    expect(page.get_by_label("Message")).to_have_value("")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    write(page, "Third, half")
    assert said() == ["First"]
    model.will_say("Two.")
    answer.end()
    expect(conversation(page)).to_contain_text("Two.")
    wait_for_end(page)
    expect(page.locator("[data-queued]")).to_have_count(0)
    expect(page.get_by_label("Message")).to_have_value("Third, half")
    assert said() == ["First", "Second\nline"]
    assert Session.objects.count() == 1


def test_one_message_waits_and_can_be_taken_back(page: Page, model: ToldModel) -> None:
    answer = ask(page, model)
    send(page, "Second")
    send(page, "Third")
    expect(page.get_by_role("alert")).to_contain_text("A message is already queued")
    page.get_by_role("button", name="Take back").click()
    expect(page.locator("[data-queued]")).to_have_count(0)
    expect(page.get_by_label("Message")).to_have_value("Second\n\nThird")
    expect(page.get_by_label("Message")).to_be_focused()
    answer.end()
    wait_for_end(page)
    assert said() == ["First"]


@pytest.mark.parametrize("ending", ["stopped", "failed"])
def test_message_stays_a_draft_when_the_answer_does_not_end(
    page: Page, model: ToldModel, ending: str
) -> None:
    send(page, "First")
    answer = model.asked().say("Let me think")
    expect(conversation(page)).to_contain_text("Let me think")
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_be_visible()
    if ending == "stopped":
        page.get_by_role("button", name="Stop").click()
    else:
        model.finish_reason = None
        answer.end()
    wait_for_end(page)
    expect(page.get_by_label("Message")).to_have_value("Second")
    expect(page.get_by_role("alert").last).to_contain_text("Your next message is back in the form.")
    expect(page.locator("[data-queued]")).to_have_count(0)
    model.finish_reason = "stop"
    model.will_say("Two.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Two.")
    assert said() == ["First", "Second"]


def test_waiting_message_outlives_a_reload(page: Page, model: ToldModel) -> None:
    answer = ask(page, model)
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_contain_text("Second")
    page.reload()
    expect(page.locator("[data-queued]")).to_contain_text("Second")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    model.will_say("Two.")
    answer.end()
    expect(conversation(page)).to_contain_text("Two.")
    assert said() == ["First", "Second"]


def test_message_whose_answer_ended_elsewhere_goes_on_return(page: Page, model: ToldModel) -> None:
    answer = ask(page, model)
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_be_visible()
    chat = page.url
    page.goto("about:blank")
    answer.end()
    while AgentRun.objects.active().exists():
        page.wait_for_timeout(50)
    model.will_say("Two.")
    page.goto(chat)
    expect(conversation(page)).to_contain_text("Two.")
    assert said() == ["First", "Second"]


def test_refused_message_is_back_in_the_box(
    open_page: OpenPage, page: Page, model: ToldModel
) -> None:
    answer = ask(page, model)
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_be_visible()
    page.route("**/messages/", lambda route: route.abort())
    answer.end()
    expect(page.get_by_role("alert").last).to_contain_text("cannot be reached")
    expect(page.get_by_label("Message")).to_have_value("Second")
    page.unroute("**/messages/")
    model.will_say("Two.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Two.")
    assert said() == ["First", "Second"]


FILL_STORAGE = """() => {
    for (let length = 1 << 22; length > 0; length >>= 1) {
        try {
            for (let n = 0; ; n += 1) sessionStorage.setItem(`${length} ${n}`, "x".repeat(length));
        } catch {}
    }
}"""


def test_messages_are_sent_though_the_storage_is_full(page: Page, model: ToldModel) -> None:
    """As with drafts of long pasted texts in several chats."""
    page.evaluate(FILL_STORAGE)
    answer = ask(page, model)
    send(page, "Second")
    expect(page.get_by_role("alert").last).to_contain_text("too long to queue")
    expect(page.get_by_label("Message")).to_have_value("Second")
    expect(page.locator("[data-queued]")).to_have_count(0)
    answer.end()
    wait_for_end(page)
    model.will_say("Two.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Two.")
    assert said() == ["First", "Second"]


def test_log_out_deletes_the_waiting_message(page: Page, model: ToldModel) -> None:
    answer = ask(page, model)
    send(page, "Second")
    expect(page.locator("[data-queued]")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password")).to_be_visible()
    assert "Second" not in page.evaluate("JSON.stringify(sessionStorage)")
    answer.end()


def test_without_javascript_nothing_changes(
    open_page: OpenPage, user: User, model: ToldModel
) -> None:
    chat_session = answered(user)
    page = open_page(f"/chats/{chat_session.pk}/", java_script_enabled=False)
    model.will_say("Two.")
    send(page, "Second")
    expect(conversation(page)).to_contain_text("Two.")
    expect(page.get_by_text("All shortcuts")).to_be_hidden()


@pytest.mark.parametrize("ending", ["done", "stopped"])
@pytest.mark.parametrize("width", [390, 1440])
def test_without_javascript_a_message_that_is_too_early_is_kept(
    open_page: OpenPage, user: User, model: ToldModel, width: int, ending: str
) -> None:
    """Nothing is lost until it is sent, after waiting for the answer or stopping it."""
    chat = f"/chats/{answered(user).pk}/"
    page = open_page(chat, java_script_enabled=False, viewport={"width": width, "height": 800})
    other = open_page(chat)
    answer = ask(other, model)
    wait_until(AgentRun.objects.active().exclude(text="").exists)  # saved, and so on every page
    send(page, "Second")
    expect(page.get_by_role("alert")).to_contain_text("An answer is still being written")
    expect(conversation(page)).to_contain_text("Let me think")
    text, button = page.get_by_label("Message"), page.get_by_role("button", name="Send")
    for _ in range(2):
        expect(text).to_have_value("Second")
        expect(button).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.get_by_role("link", name="Reload").click()
        expect(page).to_have_url(re.compile(f"{chat}$"))
    if ending == "stopped":
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    else:
        answer.end()
        wait_for_end(other)
        page.get_by_role("link", name="Reload").click()
    expect(page.get_by_role("link", name="Reload")).to_have_count(0)
    expect(text).to_have_value("Second")
    model.will_say("Two.")
    button.click()
    expect(conversation(page)).to_contain_text("Two.")
    expect(text).to_have_value("")
    assert said() == ["Hello", "First", "Second"]
