"""Messages whose response was lost, and drafts."""

import re
import urllib.request
import uuid
from urllib.parse import urljoin

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, Route, expect

from agents_app.models import AgentRun
from agents_app.services import send_message
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, failed, make_agent, make_user
from tests.browser.chatting import (
    CHAT,
    agent_chip,
    choose_agent,
    conversation,
    send,
    wait_for_end,
    write,
)
from tests.browser.conftest import OpenPage, log_in
from tests.model_server import ToldModel

pytestmark = pytest.mark.django_db(transaction=True)

UNREACHABLE = "The server cannot be reached."


def lose(route: Route) -> None:
    """Let the server store the message, but lose its response."""
    sent = route.request
    request = urllib.request.Request(sent.url, sent.post_data_buffer, sent.all_headers())
    with urllib.request.urlopen(request, timeout=30) as response:
        response.readline()
    route.abort()


def block_refresh(page: Page) -> None:
    """Keep the page from refreshing, which would show whether its message was stored."""
    page.route(re.compile(r"/chats/[0-9a-f-]{36}/$"), lambda route: route.abort())


def allow_refresh(page: Page) -> None:
    page.unroute(re.compile(r"/chats/[0-9a-f-]{36}/$"))


def focus_window(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('focus'))")


def expect_once(page: Page, text: str) -> None:
    """The message is shown once, and every id is unique."""
    expect(conversation(page).locator(".mine", has_text=text)).to_have_count(1)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids))


@pytest.fixture
def chat(open_page: OpenPage, user: User) -> Page:
    return open_page(f"/chats/{answered(user).pk}/")


def lose_message(page: Page) -> None:
    page.route("**/messages/", lose, times=1)
    send(page, "Once only")
    expect(page.get_by_role("alert")).to_contain_text(UNREACHABLE)


def test_message_that_is_sent_again_is_shown_once(chat: Page, model: ToldModel) -> None:
    block_refresh(chat)
    lose_message(chat)
    expect(chat.get_by_label("Message")).to_have_value("Once only")
    chat.get_by_role("button", name="Send").click()
    expect(chat.get_by_label("Message")).to_have_value("")
    allow_refresh(chat)
    model.asked().say("Here it is.").end()
    expect(conversation(chat)).to_contain_text("Here it is.")
    wait_for_end(chat)
    expect_once(chat, "Once only")
    assert Message.objects.filter(text_content="Once only").count() == 1
    chat.reload()
    expect_once(chat, "Once only")
    expect(chat.get_by_label("Message")).to_have_value("")


def test_box_is_emptied_when_the_message_is_found_stored(chat: Page, model: ToldModel) -> None:
    block_refresh(chat)
    lose_message(chat)
    allow_refresh(chat)
    focus_window(chat)
    expect_once(chat, "Once only")
    expect(chat.get_by_label("Message")).to_have_value("")
    expect(chat.get_by_text(UNREACHABLE)).to_be_hidden()
    model.asked().say("Here it is.").end()
    expect(conversation(chat)).to_contain_text("Here it is.")
    model.will_say("And on.")
    send(chat, "Once only")  # the same text again is another message
    expect(conversation(chat)).to_contain_text("And on.")
    assert Message.objects.filter(text_content="Once only").count() == 2


def test_what_was_written_since_is_kept(chat: Page, model: ToldModel) -> None:
    block_refresh(chat)
    lose_message(chat)
    write(chat, "Something else")
    allow_refresh(chat)
    focus_window(chat)
    expect_once(chat, "Once only")
    expect(chat.get_by_label("Message")).to_have_value("Something else")
    model.asked().say("Here it is.").end()
    expect(conversation(chat)).to_contain_text("Here it is.")
    model.will_say("And on.")
    chat.get_by_role("button", name="Send").click()
    expect(conversation(chat)).to_contain_text("And on.")
    expect_once(chat, "Something else")


def test_box_is_empty_after_a_reload_that_shows_the_message(chat: Page, model: ToldModel) -> None:
    block_refresh(chat)
    lose_message(chat)
    allow_refresh(chat)
    chat.reload()
    expect_once(chat, "Once only")
    expect(chat.get_by_label("Message")).to_have_value("")
    model.asked().end()


def test_retry_whose_response_was_lost(open_page: OpenPage, user: User, model: ToldModel) -> None:
    page = open_page(f"/chats/{failed(user, 'Try this').session_id}/")
    page.route("**/retry/", lose, times=1)
    with page.expect_event("requestfailed"):
        page.get_by_role("button", name="Retry").click()
    model.asked().say("Tried again.").end()
    expect(conversation(page)).to_contain_text("Tried again.")
    expect(page.get_by_role("button", name="Retry")).to_be_hidden()
    expect_once(page, "Try this")


def lose_first_message(page: Page) -> None:
    page.route(
        "**/chats/",
        lambda route: lose(route) if route.request.post_data else route.fallback(),
        times=1,
    )
    send(page, "Only once")
    expect(page.get_by_role("alert")).to_contain_text(UNREACHABLE)
    page.unroute("**/chats/")


@pytest.mark.parametrize("reload", [False, True])
def test_first_message_that_is_sent_again_starts_one_chat(
    page: Page, model: ToldModel, reload: bool
) -> None:
    make_agent("other")
    page.reload()
    choose_agent(page, "other")
    lose_first_message(page)
    if reload:
        page.reload()
        expect(page.get_by_label("Message")).to_have_value("Only once")
        expect(agent_chip(page)).to_contain_text("other")
    page.get_by_role("button", name="Send").click()
    model.asked().say("Here it is.").end()
    expect(conversation(page)).to_contain_text("Here it is.")
    expect_once(page, "Only once")
    assert Session.objects.get().agent == make_agent("other")
    page.goto("/chats/")
    expect(page.get_by_label("Message")).to_have_value("")


def test_first_message_that_is_sent_again_to_another_agent(page: Page, model: ToldModel) -> None:
    other = make_agent("other")
    page.reload()
    lose_first_message(page)
    model.asked().end()
    choose_agent(page, "other")
    page.get_by_role("button", name="Send").click()
    model.asked().say("From another one.").end()
    expect(conversation(page)).to_contain_text("From another one.")
    expect(page.get_by_text("with other", exact=True)).to_be_visible()
    assert Session.objects.filter(agent=other).count() == 1
    assert Session.objects.count() == 2


def test_draft_is_dropped_where_the_chat_that_it_started_is_opened(
    page: Page, model: ToldModel
) -> None:
    lose_first_message(page)
    model.asked().say("Here it is.").end()
    page.reload()
    page.get_by_role("link", name="Only once").click()
    expect(page).to_have_url(CHAT)
    expect(page.get_by_label("Message")).to_be_focused()  # the script has been loaded
    expect_once(page, "Only once")
    page.goto("/chats/")
    expect(page.get_by_label("Message")).to_have_value("")


# --- Drafts ------------------------------------------------------------------


def log_in_as(page: Page, user: User) -> None:
    """In the same tab, after the first user's login has expired."""
    page.context.clear_cookies()
    home = urljoin(page.url, "/")
    page.context.add_cookies([{"name": "sessionid", "value": log_in(user), "url": home}])
    page.goto("/chats/")
    expect(page.locator(".who")).to_have_text(user.username)


def test_draft_is_not_shown_to_the_next_user(page: Page, user: User) -> None:
    write(page, "Between you and me")
    log_in_as(page, make_user("bo"))
    expect(page.get_by_label("Message")).to_have_value("")
    assert "you and me" not in page.evaluate("JSON.stringify(sessionStorage)")
    write(page, "Mine")
    log_in_as(page, user)
    expect(page.get_by_label("Message")).to_have_value("")


def test_draft_outlives_an_expired_login(page: Page, user: User) -> None:
    write(page, "Half a thought")
    page.context.clear_cookies()
    page.reload()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    log_in_as(page, user)
    expect(page.get_by_label("Message")).to_have_value("Half a thought")


@pytest.mark.parametrize("path", ["/chats/", "delete/", "/chats/trash/"])
def test_logging_out_drops_drafts(open_page: OpenPage, user: User, path: str) -> None:
    chat_session = answered(user)
    url = f"/chats/{chat_session.pk}/"
    page = open_page(url)
    write(page, "Between you and me")
    page.goto(urljoin(page.url, path))
    assert "you and me" in page.evaluate("JSON.stringify(sessionStorage)")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert "you and me" not in page.evaluate("JSON.stringify(sessionStorage)")
    log_in_as(page, user)
    page.goto(url)
    expect(page.get_by_label("Message")).to_have_value("")


# --- A chat without an agent -------------------------------------------------


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize("is_there", [True, False], ids=["switched off", "deleted"])
def test_chat_goes_on_with_an_agent_that_is_picked(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool, is_there: bool
) -> None:
    chat_session = answered(user)
    if is_there:
        make_agent(active=False)
    else:
        make_agent().delete()
    make_agent("another")
    picked = make_agent("picked")
    page = open_page(f"/chats/{chat_session.pk}/", java_script_enabled=javascript)
    if javascript:
        choose_agent(page, "picked")
    else:
        page.get_by_label("Agent to continue").select_option("picked")
    model.will_say("I do.")
    send(page, "Who goes on?")
    expect(conversation(page)).to_contain_text("I do.")
    expect(page.get_by_text("with picked")).to_be_visible()
    expect(page.locator("[name=is_substitute]")).to_have_count(0)
    model.will_say("Still me.")
    send(page, "And now?")
    expect(conversation(page)).to_contain_text("Still me.")
    assert Session.objects.get().agent == picked


@pytest.mark.parametrize("javascript", [True, False])
def test_retry_with_an_agent_that_is_picked(
    open_page: OpenPage, user: User, model: ToldModel, javascript: bool
) -> None:
    run = failed(user)
    make_agent().delete()
    make_agent("another")
    make_agent("picked")
    page = open_page(f"/chats/{run.session_id}/", java_script_enabled=javascript)
    page.get_by_label("Agent for the retry").select_option("picked")
    model.will_say("I do.")
    page.get_by_role("button", name="Retry").click()
    expect(conversation(page)).to_contain_text("I do.")
    expect(page.get_by_text("with picked")).to_be_visible()
    assert [run.agent and run.agent.name for run in AgentRun.objects.order_by("created_at")] == [
        None,
        "picked",
    ]


def test_agent_that_is_switched_off_meanwhile_can_be_replaced_at_once(
    chat: Page, model: ToldModel
) -> None:
    make_agent(active=False)
    make_agent("picked")
    send(chat, "Still there?")
    expect(chat.get_by_role("alert")).to_contain_text("choose another one")
    choose_agent(chat, "picked")
    model.will_say("I am.")
    chat.get_by_role("button", name="Send").click()
    expect(conversation(chat)).to_contain_text("I am.")
    expect_once(chat, "Still there?")


def test_agent_that_is_picked_in_another_tab_is_shown(
    open_page: OpenPage, user: User, model: ToldModel
) -> None:
    chat_session = answered(user)
    make_agent().delete()
    first, second = make_agent("first"), make_agent("second")
    page = open_page(f"/chats/{chat_session.pk}/")
    run = send_message(
        user=user,
        session_id=chat_session.pk,
        text="Elsewhere",
        message_id=uuid.uuid4(),
        agent_id=first.pk,
    )
    run.finish(AgentRun.Status.DONE)
    choose_agent(page, second.name)
    send(page, "Here")
    expect(page.get_by_role("alert")).to_contain_text("Another agent has since been chosen")
    expect(page.get_by_text("with first")).to_be_visible()
    expect(page.get_by_label("Message")).to_have_value("Here")
    model.will_say("First it is.")
    page.get_by_role("button", name="Send").click()
    expect(conversation(page)).to_contain_text("First it is.")
