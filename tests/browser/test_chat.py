"""Chatting in a real browser."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, failed
from tests.browser.chatting import CHAT, conversation, send, wait_for_end, write
from tests.browser.conftest import OpenPage
from tests.factories import make_session
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)


# --- Starting and reading ----------------------------------------------------


def test_text_is_shown_as_it_comes(page: Page, model: ToldModel) -> None:
    send(page, "Hello, who are you?")
    answer = model.asked()
    expect(page).to_have_url(CHAT)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    answer.say("I am **a ")
    expect(conversation(page)).to_contain_text("I am **a")
    answer.say("model**.\n\n```python\nprint(1)\n```")
    expect(conversation(page).locator("[aria-busy] pre code")).to_contain_text("print(1)")
    answer.end()

    expect(conversation(page).locator("strong")).to_have_text("a model")
    expect(page.get_by_role("button", name="Copy python code")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("status")).to_have_text("Answer ready. I am a model. print(1)")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, who are you?")
    assert Message.objects.filter(role="assistant").count() == 1


def test_conversation_goes_on(page: Page, model: ToldModel) -> None:
    model.will_say("First answer.")
    send(page, "First question")
    expect(conversation(page)).to_contain_text("First answer.")
    send(page, "Second question")
    expect(page.get_by_label("Message")).to_have_value("")
    expect(page.get_by_label("Message")).to_be_focused()
    model.asked()
    answer = model.asked()
    said = [message["content"] for message in answer.messages if message["role"] != "system"]
    assert said == ["First question", "First answer.", "Second question"]
    answer.say("Second answer.").end()
    expect(conversation(page)).to_contain_text("Second answer.")
    assert Session.objects.count() == 1


def test_keyboard(page: Page, model: ToldModel) -> None:
    message = page.get_by_label("Message")
    message.focus()
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    page.keyboard.press("Enter")
    model.asked().say("Three").end()
    expect(conversation(page)).to_contain_text("Three")
    assert Message.objects.get(role="user").text_content == "One\nTwo"


def test_focus_stays_in_the_message_box(page: Page, model: ToldModel) -> None:
    sent = []
    page.on("request", lambda request: sent.append(request) if request.post_data else None)
    message = page.get_by_label("Message")
    expect(message).to_be_focused()
    page.keyboard.type("   ")
    page.keyboard.press("Enter")
    page.keyboard.type("Tell me")
    page.keyboard.press("Enter")
    model.asked().say("Once ")
    expect(conversation(page)).to_contain_text("Once")
    assert len(sent) == 1, "there was nothing to send at first"
    expect(message).to_be_focused()
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page)
    expect(message).to_be_focused()
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    expect(page.get_by_label("New name")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_label("New name")).to_be_hidden()


def test_draft_outlives_a_reload(page: Page, model: ToldModel) -> None:
    write(page, "Half a thought")
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("Half a thought")
    model.will_say("Yes.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("Yes.")
    page.goto("/chats/")
    expect(page.get_by_label("Message")).to_have_value("")


@pytest.mark.parametrize("composing", [{"isComposing": True}, {"keyCode": 229}])
def test_enter_that_ends_a_composition_does_not_send(
    page: Page, model: ToldModel, composing: dict[str, object]
) -> None:
    write(page, "日本")
    is_left_alone = page.get_by_label("Message").evaluate(
        """(text, composing) => text.dispatchEvent(new KeyboardEvent(
            "keydown", {key: "Enter", ...composing, bubbles: true, cancelable: true}))""",
        composing,
    )
    assert is_left_alone, "it belongs to the input method"
    page.keyboard.type("語")
    model.will_say("はい")
    page.keyboard.press("Enter")
    expect(conversation(page)).to_contain_text("はい")
    assert [message.text_content for message in Message.objects.filter(role="user")] == ["日本語"]


@pytest.mark.parametrize("javascript", [True, False])
def test_double_click_starts_one_chat(
    open_page: OpenPage, model: ToldModel, javascript: bool
) -> None:
    page = open_page(java_script_enabled=javascript)
    model.will_say("Once.")
    write(page, "Only once")
    page.get_by_role("button", name="Send").dblclick()
    expect(conversation(page)).to_contain_text("Once.")
    assert (Session.objects.count(), Message.objects.filter(role="user").count()) == (1, 1)


def test_second_submit_of_a_form_does_not_disturb_the_answer(page: Page, model: ToldModel) -> None:
    form = page.locator("form[data-message-form]").evaluate(
        "form => Object.fromEntries(new FormData(form))"
    ) | {"text": "Twice"}

    def submit() -> str:
        response = page.request.post("/chats/", form=form, headers={"Accept": "application/json"})
        return str(response.json()["url"])

    page.goto(submit())
    answer = model.asked().say("Once ")
    expect(conversation(page)).to_contain_text("Once")
    assert page.url.endswith(submit())
    answer.say("only.").end()
    expect(conversation(page)).to_contain_text("Once only.")
    wait_for_end(page)
    assert [run.status for run in AgentRun.objects.all()] == ["done"]


# --- Stop, failure, retry ----------------------------------------------------


def test_stop_keeps_what_has_come(page: Page, model: ToldModel) -> None:
    send(page, "Count to a million")
    model.asked().say("One, two, ")
    expect(conversation(page)).to_contain_text("One, two,")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    expect(conversation(page)).to_contain_text("One, two,")
    wait_for_end(page)
    assert AgentRun.objects.get().status == "stopped"
    page.reload()
    expect(conversation(page)).to_contain_text("One, two,")


def test_retry_after_a_failure(page: Page, model: ToldModel) -> None:
    model.fail()
    send(page, "Are you there?")
    retry = page.get_by_role("button", name="Retry")
    expect(retry).to_be_visible()
    model.recover()
    model.will_say("Now I am.")
    retry.click()
    expect(conversation(page)).to_contain_text("Now I am.")
    expect(retry).to_be_hidden()
    assert (Session.objects.count(), Message.objects.filter(role="user").count()) == (1, 1)


# --- Rename, delete, older messages ------------------------------------------


@pytest.mark.parametrize("javascript", [True, False])
def test_rename_and_delete(open_page: OpenPage, user: User, javascript: bool) -> None:
    chat_session = answered(user, "A working title")
    page = open_page(f"/chats/{chat_session.pk}/", java_script_enabled=javascript)
    if javascript:
        expect(page.get_by_label("Message")).to_be_focused()  # the script has run
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    name = page.get_by_label("New name" if javascript else "Name of this chat")
    expect(name).to_have_value("A working title")
    name.fill(" ")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").filter(has_text="needs a name")).to_be_visible()
    assert page.url.endswith(f"{chat_session.pk}/{'' if javascript else 'rename/'}")
    name.fill("The $1 title")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The $1 title")
    expect(page).to_have_title(re.compile(r"^The \$1 title"))
    assert page.url.endswith(f"{chat_session.pk}/")

    page.get_by_role("main").get_by_role("link", name="Delete").click()
    if not javascript:
        expect(page.get_by_text("2 messages will be moved to the trash")).to_be_visible()
        page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted “The $1 title”.")).to_be_visible()
    expect(page.get_by_text("No chats yet.")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Restored 1 chat.")).to_be_visible()
    page.get_by_role("link", name="The $1 title").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The $1 title")


@pytest.mark.parametrize("javascript", [True, False])
def test_older_messages(open_page: OpenPage, user: User, javascript: bool) -> None:
    chat_session = make_session(user=user, name="Long")
    Message.objects.bulk_create(
        Message(session=chat_session, position=at, role="user", text_content=f"Number {at}.")
        for at in range(1, 121)
    )
    page = open_page(f"/chats/{chat_session.pk}/", java_script_enabled=javascript)
    if javascript:
        expect(page.get_by_text("Number 120.")).to_be_in_viewport()
        for first in (71, 21, 1):
            page.get_by_text(f"Number {first}.", exact=True).scroll_into_view_if_needed()
        expect(page.locator(".message")).to_have_count(120)
        expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
        page.get_by_role("button", name="Jump to latest").click()
        expect(page.get_by_text("Number 120.")).to_be_in_viewport()
    else:
        page.get_by_role("link", name="Show older messages").click()
        expect(page.get_by_text("Number 21.", exact=True)).to_be_visible()
        page.get_by_role("link", name="Back to the latest messages").click()
        expect(page.get_by_text("Number 120.")).to_be_visible()


def scrolled(page: Page) -> Any:
    """The scroll position, once the page has been drawn."""
    return page.evaluate(
        "new Promise(done => requestAnimationFrame("
        "() => requestAnimationFrame(() => done(scrollY))))"
    )


def test_text_that_comes_in_leaps_is_followed(page: Page, model: ToldModel) -> None:
    send(page, "At length")
    answer = model.asked()
    for number in range(30):
        answer.say(f"Line {number}.\n\n" * 6)
        expect(conversation(page)).to_contain_text(f"Line {number}.")
        expect(page.get_by_role("button", name="Jump to latest")).to_be_hidden()
    answer.end()
    wait_for_end(page)
    expect(page.get_by_text("Line 29.").last).to_be_in_viewport()


def test_scrolling_up_pauses_following(page: Page, model: ToldModel) -> None:
    send(page, "At length")
    answer = model.asked().say("Top.\n" + "line\n" * 100 + "Middle.")
    expect(conversation(page)).to_contain_text("Middle.")
    expect(page.locator("[data-waiting]")).to_be_in_viewport()
    assert scrolled(page) > 0
    expect(page.get_by_role("button", name="Jump to latest")).to_be_hidden()
    page.get_by_text("At length").last.scroll_into_view_if_needed()
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    before = scrolled(page)
    answer.say("line\n" * 50 + "Bottom.")
    expect(conversation(page)).to_contain_text("Bottom.")
    assert scrolled(page) == before
    answer.end()
    wait_for_end(page)
    assert scrolled(page) == before
    page.get_by_role("button", name="Jump to latest").click()
    assert scrolled(page) > before


# --- Without JavaScript ------------------------------------------------------


def test_without_javascript(
    open_page: OpenPage, model: ToldModel, user: User, settings: Any
) -> None:
    # The served product does not know the tests' fast hasher.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    user.set_password("secret-enough-1")
    user.save()
    page = open_page("/", login=False, java_script_enabled=False)
    page.get_by_label("Username").fill("ana")
    page.get_by_label("Password").fill("secret-enough-1")
    page.get_by_role("button", name="Log in").click()

    model.will_say("It **works**.")
    send(page, "No script here")
    expect(conversation(page).locator("strong")).to_have_text("works")
    expect(page).to_have_url(re.compile(r"#run-"))

    model.fail()
    send(page, "And now?")
    retry = page.get_by_role("button", name="Retry")
    expect(retry).to_be_visible()
    model.recover()
    model.will_say("Back again.")
    retry.click()
    expect(conversation(page)).to_contain_text("Back again.")

    page.wait_for_load_state()  # the styles decide which of two links is shown
    page.get_by_role("link", name="New chat").click()
    page.get_by_label("Search your chats").fill("again")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("main").get_by_text("No script here")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_unfinished_answer_without_javascript(open_page: OpenPage, model: ToldModel) -> None:
    waiting = open_page(java_script_enabled=False)
    write(waiting, "Slowly")
    waiting.get_by_role("button", name="Send").click(no_wait_after=True)
    model.asked().say("So far ")

    page = open_page(beside=waiting)
    page.get_by_role("link", name="Slowly").click()
    expect(page.get_by_role("link", name="Reload")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    for tab in (page, waiting):
        expect(tab.get_by_text("Stopped", exact=True)).to_be_visible()
        expect(conversation(tab)).to_contain_text("So far")


# --- Hostile text ------------------------------------------------------------


XSS = """<script>alert(1)</script> <img src=x onerror=alert(2)> <svg onload=alert(3)>

[click me](javascript:alert(4)) "><iframe srcdoc="<script>alert(5)</script>"></iframe>
<a href="jav&#x09;ascript:alert(6)" onclick=alert(7)>x</a> `<b onmouseover=alert(8)>`
<style>body { display: none }</style> ![](x"onerror="alert(9))"""


def test_hostile_text_runs_nothing(page: Page, user: User, model: ToldModel) -> None:
    """Dialogs and content policy violations fail the test (see `open_page`)."""

    def expect_nothing_of_it() -> None:
        own_icon = "svg:has(> use[href^='/static/'])"
        foreign = f"img, svg:not({own_icon}), iframe, main style, main script"
        expect(page.locator(foreign)).to_have_count(0)
        expect(page.locator("[onerror], [onload], [onclick], [onmouseover]")).to_have_count(0)
        expect(page.locator("[href*=script i], [srcdoc]")).to_have_count(0)

    send(page, XSS)
    answer = model.asked().say(XSS)
    said = conversation(page).locator(".theirs")
    expect(said).to_contain_text("onmouseover")
    expect(said).to_have_attribute("aria-busy", "true")
    expect_nothing_of_it()
    answer.end()
    wait_for_end(page)
    expect(said).to_contain_text("onmouseover")
    expect_nothing_of_it()
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    page.get_by_label("New name").fill(XSS.split("\n", maxsplit=1)[0])
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>alert(1)")
    broken = failed(user, "Failed", error=" ".join(XSS.split())).session
    for path, shown in (
        (page.url, "onmouseover"),
        (f"/chats/{broken.pk}/", "onmouseover"),
        ("/chats/", "<script>alert(1)"),
        ("/chats/?q=%22><img src=x onerror=alert(1)>", '“"><img src=x onerror=alert(1)>”'),
    ):
        page.goto(path)
        expect(page.locator("body")).to_contain_text(shown)
        expect_nothing_of_it()
