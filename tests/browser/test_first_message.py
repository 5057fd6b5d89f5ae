"""A chat's first message: its page replaces the first screen without a page load."""

import re
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from playwright.sync_api import Page, Request, Route, expect

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message, Session
from tests.agents_app.chats import make_agent
from tests.browser.chatting import (
    CHAT,
    agent_chip,
    choose_agent,
    conversation,
    send,
    wait_for_end,
    write,
)
from tests.browser.conftest import OpenPage
from tests.browser.test_reconnecting import beginning
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)


def test_first_message_takes_one_request(page: Page, model: ToldModel) -> None:
    requests: list[str] = []

    def note(request: Request) -> None:
        path = urlsplit(request.url).path
        # The browser requests icons for each URL, and the sidebar shows the new chat.
        if not path.endswith(".svg") and path != "/chats/sidebar/":
            requests.append(f"{request.method} {path}")

    page.on("request", note)
    page.evaluate("window.sameDocument = true")
    send(page, "Hello & welcome")
    answer = model.asked().say("Good ")
    expect(conversation(page)).to_contain_text("Good")
    expect(page).to_have_url(CHAT)
    expect(page).to_have_title(f"Hello & welcome – {settings.PRODUCT_NAME}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello & welcome")
    expect(page.get_by_label("Message")).to_be_focused()
    expect(page.get_by_label("Message")).to_have_value("")
    answer.say("day.").end()
    expect(conversation(page)).to_contain_text("Good day.")
    wait_for_end(page)
    assert requests == ["POST /chats/"]
    assert page.evaluate("window.sameDocument")


@pytest.mark.parametrize("others", [[], ["another", "third"]], ids=["one agent", "three agents"])
def test_page_looks_as_after_a_reload(
    open_page: OpenPage, agent: Agent, model: ToldModel, others: list[str]
) -> None:
    for name in others:
        make_agent(name, description="Sums up")
    page = open_page()

    def shown() -> str:
        html = page.evaluate("document.body.className + document.querySelector('main').innerHTML")
        # Forms sent in an event have no token.
        html = re.sub(r'<input type="hidden" name="csrfmiddlewaretoken"[^>]+>', "", html)
        html = re.sub(r'name="message_id"[^>]+>|#run-[\w-]+', "", html)
        html = re.sub(r"<form[^>]+data-stop-form[^>]*>", "", html)
        return re.sub(r"\s*\n\s*", "\n", html).replace("\n", "")

    send(page, 'Hello, "you" & <b>all</b>')
    model.asked().say("```\ncode\n```").end()
    expect(conversation(page)).to_contain_text("code")  # the chat has replaced the first screen
    wait_for_end(page)
    page.evaluate("document.querySelector('[data-announcer]').textContent = ''")
    before = shown()
    page.reload()
    expect(page.get_by_role("button", name="Copy code")).to_be_visible()
    assert shown().replace(' hidden=""', "") == before.replace(' hidden=""', "")


def test_everything_works_on_it(page: Page, model: ToldModel) -> None:
    send(page, "Count to a million")
    model.asked().say("One, two, ")
    expect(conversation(page)).to_contain_text("One, two,")
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    assert AgentRun.objects.get().status == "stopped"

    model.fail()
    send(page, "Go on")
    retry = page.get_by_role("button", name="Retry")
    expect(retry).to_be_visible()
    model.recover()
    model.will_say("Three.")
    retry.click()
    expect(conversation(page)).to_contain_text("Three.")

    write(page, "Half a thought")
    page.reload()
    expect(page.get_by_label("Message")).to_have_value("Half a thought")
    expect(conversation(page)).to_contain_text("Three.")


def test_rename_without_a_reload_in_between(page: Page, model: ToldModel) -> None:
    model.will_say("Yes.")
    send(page, "A working title")
    expect(conversation(page)).to_contain_text("Yes.")
    page.get_by_role("main").get_by_role("link", name="Rename").click()
    name = page.get_by_label("New name")
    expect(name).to_be_focused()
    expect(name).to_have_value("A working title")
    name.fill("The title")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The title")
    assert Session.objects.get().name == "The title"


def test_back_and_forward(page: Page, model: ToldModel) -> None:
    model.will_say("Yes.")
    send(page, "Are you there?")
    expect(conversation(page)).to_contain_text("Yes.")
    page.evaluate("location.hash = 'main'")
    page.go_back()  # to the same page
    expect(conversation(page)).to_contain_text("Yes.")
    page.go_back()
    expect(page.get_by_role("link", name="Are you there?")).to_be_visible()
    expect(page).to_have_title(f"New chat – {settings.PRODUCT_NAME}")
    expect(page.get_by_label("Message")).to_have_value("")
    expect(page.get_by_label("Message")).to_be_focused()  # the script has been loaded
    page.go_forward()
    expect(conversation(page)).to_contain_text("Yes.")
    expect(page.get_by_label("Message")).to_be_focused()
    page.reload()
    page.go_back()
    expect(page.get_by_role("link", name="Are you there?")).to_be_visible()


def test_forward_and_back_before_the_script_has_loaded(page: Page, model: ToldModel) -> None:
    model.will_say("Yes.")
    send(page, "Are you there?")
    expect(conversation(page)).to_contain_text("Yes.")
    wait_for_end(page)
    held: list[Route] = []
    greeting = page.get_by_role("heading", name="Hello")

    page.route("**/chat.js", lambda route: held.append(route), times=1)
    page.go_back()
    expect(greeting).to_be_visible()
    page.evaluate("history.forward()")
    expect(page).to_have_url(CHAT)
    expect(greeting).to_be_visible()
    held.pop().continue_()
    expect(conversation(page)).to_contain_text("Yes.")
    expect(page.get_by_label("Message")).to_be_focused()

    page.route("**/chat.js", lambda route: held.append(route), times=1)
    page.reload(wait_until="commit")
    expect(conversation(page)).to_contain_text("Yes.")
    page.evaluate("history.back()")
    expect(page).to_have_url(re.compile(r"/chats/$"))
    held.pop().continue_()
    expect(greeting).to_be_visible()


def test_refusal_is_shown_on_the_list(page: Page, agent: Agent) -> None:
    Agent.objects.update(active=False)
    send(page, "Anybody?")
    expect(page.get_by_role("alert")).to_contain_text("not available")
    expect(page.get_by_label("Message")).to_have_value("Anybody?")
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    assert not CHAT.search(page.url)
    assert not Session.objects.exists()


def test_connection_that_breaks_during_the_first_answer(page: Page, model: ToldModel) -> None:

    def cut(route: Route) -> None:
        """Everything up to the first piece of text."""
        if route.request.method != "POST":
            route.fallback()
            return
        route.fulfill(content_type="text/event-stream", body=beginning(route.request))

    model.will_say_first("Light. ")
    page.route("**/events", lambda route: route.abort(), times=2)
    page.route("**/chats/", cut, times=1)
    send(page, "Through a tunnel")
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page).to_have_url(CHAT)
    model.asked().say("Dark.").end()
    expect(conversation(page)).to_contain_text("Light. Dark.")
    wait_for_end(page)
    assert Message.objects.filter(role="user").count() == 1


def test_other_tab_and_late_message_are_found(
    page: Page, open_page: OpenPage, model: ToldModel, user: User
) -> None:
    model.will_say("One.")
    send(page, "First")
    expect(conversation(page)).to_contain_text("One.")
    other = open_page(page.url, beside=page)
    model.will_say("Two.")
    send(other, "Second")
    expect(conversation(other)).to_contain_text("Two.")
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(conversation(page)).to_contain_text("Two.")


def test_agent_of_a_new_chat_is_the_chosen_one(
    open_page: OpenPage, agent: Agent, model: ToldModel
) -> None:
    make_agent("other")
    page = open_page()
    choose_agent(page, "other")
    model.will_say("Yes.")
    send(page, "Hello")
    expect(page.get_by_text("with other", exact=True)).to_be_visible()
    expect(conversation(page)).to_contain_text("Yes.")
    expect(agent_chip(page)).to_contain_text("other")
    wait_for_end(page)
    own = page.locator("select[name=agent] [value='']")
    expect(own).to_have_attribute("data-name", "other")
    page.get_by_role("button", name="with another agent").click()
    menu = page.get_by_role("dialog", name="Regenerate with")
    expect(menu.get_by_role("button")).to_contain_text("simple")
    page.keyboard.press("Escape")
    model.will_say("Still me.")
    send(page, "And now?")
    expect(conversation(page)).to_contain_text("Still me.")
    assert set(AgentRun.objects.values_list("agent__name", flat=True)) == {"other"}
    page.go_back()
    expect(agent_chip(page)).to_contain_text("other")  # the last one used


def test_what_is_written_while_a_message_is_sent_stays(page: Page, model: ToldModel) -> None:
    """As on a slow connection, where the box is cleared late."""
    held: list[Route] = []
    for path, text in (("**/chats/", "First"), ("**/messages/", "Second")):
        page.route(path, lambda route: held.append(route), times=1)
        with page.expect_request(path):
            page.get_by_label("Message").press_sequentially(text)
            page.keyboard.press("Enter")
        page.keyboard.type(" And then")
        model.will_say(f"To the {text.lower()}.")
        held.pop().continue_()
        expect(conversation(page)).to_contain_text(f"To the {text.lower()}.")
        wait_for_end(page)
        expect(page.get_by_label("Message")).to_have_value("And then")
        page.reload()
        expect(page.get_by_label("Message")).to_have_value("And then")
        write(page, "")
    said = Message.objects.filter(role="user").order_by("position")
    assert list(said.values_list("text_content", flat=True)) == ["First", "Second"]
