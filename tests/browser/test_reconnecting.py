"""Leaving and returning to an answer, and lost connections, in a real browser."""

import signal
import urllib.request
import uuid
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, Request, Route, expect

from agents_app.models import AgentRun
from agents_app.services import send_message
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered
from tests.browser.chatting import CHAT, conversation, send, wait_for_end
from tests.browser.conftest import OpenPage
from tests.conftest import database_url
from tests.model_server import ToldModel
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)


def test_leaving_and_coming_back(page: Page, model: ToldModel) -> None:
    send(page, "Take your time")
    answer = model.asked().say("Before. ")
    expect(conversation(page)).to_contain_text("Before.")
    page.get_by_role("link", name="New chat").click()
    expect(page.locator("[data-answering]")).to_be_visible()
    answer.say("Meanwhile. ")
    page.get_by_role("link", name="Take your time").click()
    expect(conversation(page)).to_contain_text("Before. Meanwhile.")
    answer.say("After.").end()
    expect(conversation(page)).to_contain_text("Before. Meanwhile. After.")
    wait_for_end(page)


def test_second_tab_watches_and_stops(page: Page, open_page: OpenPage, model: ToldModel) -> None:
    send(page, "For two")
    answer = model.asked().say("Both ")
    expect(conversation(page)).to_contain_text("Both")
    second = open_page(page.url, beside=page)
    answer.say("see this.")
    for tab in (page, second):
        expect(conversation(tab)).to_contain_text("Both see this.")
    second.get_by_role("button", name="Stop").click()
    for tab in (page, second):
        expect(tab.get_by_text("Stopped", exact=True)).to_be_visible()


def test_another_process_watches_and_stops(
    page: Page, open_page: OpenPage, model: ToldModel
) -> None:
    send(page, "For two servers")
    answer = model.asked().say("Both ")
    expect(conversation(page)).to_contain_text("Both")
    with serve(database_url(), AGENT_MODEL="fake", AGENT_BASE_URL=model.base_url) as elsewhere:
        second = open_page(elsewhere.address + urlsplit(page.url).path, beside=page)
        answer.say("see this.")
        expect(conversation(second)).to_contain_text("Both see this.")
        second.get_by_role("button", name="Stop").click()
        for tab in (page, second):
            expect(tab.get_by_text("Stopped", exact=True)).to_be_visible()
            expect(conversation(tab)).to_contain_text("Both see this.")
        second.close()
    assert AgentRun.objects.get().status == "stopped"


def test_back_to_the_list_starts_afresh(page: Page, model: ToldModel) -> None:
    for number in (1, 2):
        model.will_say("Yes.")
        send(page, f"Chat number {number}")
        expect(conversation(page)).to_contain_text("Yes.")
        page.go_back()
        expect(conversation(page)).to_have_count(0)
        expect(page.get_by_role("link", name=f"Chat number {number}")).to_be_visible()
    assert Session.objects.count() == 2


def test_tab_that_was_left_catches_up(page: Page, open_page: OpenPage, user: User) -> None:
    chat_session = answered(user)
    left = open_page(f"/chats/{chat_session.pk}/", beside=page)
    run = send_message(
        user=user, session_id=chat_session.pk, text="From elsewhere", message_id=uuid.uuid4()
    )
    left.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(conversation(left)).to_contain_text("From elsewhere")
    expect(left.get_by_role("button", name="Stop")).to_be_visible()
    run.finish(AgentRun.Status.FAILED, error="No worker took it.")
    expect(conversation(left)).to_contain_text("No worker took it.")


def test_window_that_was_behind_shows_the_answer_it_must_wait_for(
    page: Page, open_page: OpenPage, user: User, model: ToldModel
) -> None:
    url = f"/chats/{answered(user).pk}/"
    behind = open_page(url, beside=page)
    page.goto(url)
    send(page, "From the first window")
    answer = model.asked().say("Wait for it")
    expect(conversation(page)).to_contain_text("Wait for it")

    send(behind, "From the second window")
    expect(conversation(behind)).to_contain_text("From the first window")
    expect(conversation(behind)).to_contain_text("Wait for it")
    expect(behind.get_by_role("button", name="Stop")).to_be_visible()
    waiting = behind.locator("[data-queued]")
    expect(waiting).to_contain_text("From the second window")
    expect(behind.get_by_role("alert").filter(has_text="still being written")).to_have_count(0)
    waiting.get_by_role("button", name="Take back").click()
    expect(behind.get_by_label("Message")).to_have_value("From the second window")
    behind.get_by_role("button", name="Send").click()
    expect(waiting).to_be_visible()
    model.will_say("Now you.")
    answer.end()
    expect(conversation(behind)).to_contain_text("Now you.")
    wait_for_end(behind)
    expect(waiting).to_have_count(0)


def test_messages_that_wait_in_two_windows_go_one_after_the_other(
    page: Page, open_page: OpenPage, model: ToldModel
) -> None:
    send(page, "First")
    answer = model.asked().say("Wait for it")
    expect(conversation(page)).to_contain_text("Wait for it")
    other = open_page(page.url, beside=page)
    windows = {"From here": page, "From there": other}
    for text, window in windows.items():
        expect(window.get_by_role("button", name="Stop")).to_be_visible()
        send(window, text)
        expect(window.locator("[data-queued]")).to_contain_text(text)
    answer.end()
    second = model.asked().say("To one of you.")
    sent_first = Message.objects.filter(role="user").latest("position").text_content
    [(text, left)] = windows.items() - {(sent_first, windows[sent_first])}
    expect(conversation(left)).to_contain_text("To one of you.")
    expect(left.locator("[data-queued]")).to_contain_text(text)
    second.end()
    model.asked().say("To the other.").end()
    expect(conversation(left)).to_contain_text("To the other.")
    for window in windows.values():
        expect(window.locator("[data-queued]")).to_have_count(0)
    assert Message.objects.filter(role="user").count() == 3


def send_and_reload(page: Page, text: str) -> None:
    """Send a first message and load its page, which requests the answer's events."""
    send(page, text)
    expect(page).to_have_url(CHAT)
    page.reload()


def break_twice(page: Page) -> None:
    """Refuse two reconnections, so that the notice is visible long enough."""
    page.route("**/events", lambda route: route.abort(), times=2)


def beginning(request: Request) -> bytes:
    """Pass the request on; returns the events up to the first `text` event."""
    passed_on = urllib.request.Request(
        request.url, request.post_data_buffer, request.all_headers(), method=request.method
    )
    events = b""
    with urllib.request.urlopen(passed_on, timeout=30) as stream:
        while b"event: text" not in events or not events.endswith(b"\n\n"):
            line = stream.readline()
            assert line, events
            events += line
    return events


def test_page_reconnects(page: Page, model: ToldModel) -> None:
    answers = []

    def tunnel(route: Route) -> None:
        answers.append(model.asked().say("Light. "))
        route.fulfill(content_type="text/event-stream", body=beginning(route.request))

    break_twice(page)
    page.route("**/events", tunnel, times=1)
    send_and_reload(page, "Through a tunnel")
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(conversation(page)).to_contain_text("Light.")
    answers[0].say("Dark. ")
    expect(conversation(page)).to_contain_text("Light. Dark.")
    expect(conversation(page)).not_to_contain_text("Light. Light.")
    answers[0].say("Light again.").end()
    expect(conversation(page)).to_contain_text("Light. Dark. Light again.")


def test_page_reconnects_in_the_middle_of_an_answer(page: Page, model: ToldModel) -> None:
    answers = []

    def tunnel(route: Route) -> None:
        """Let the message through, but only the beginning of its answer."""
        model.will_say_first("Light. ")
        route.fulfill(content_type="text/event-stream", body=beginning(route.request))
        answers.append(model.asked())

    model.will_say("Here we go.")
    send(page, "Ready?")
    expect(conversation(page)).to_contain_text("Here we go.")
    model.asked()
    break_twice(page)
    page.route("**/messages/", tunnel, times=1)
    with page.expect_response("**/messages/"):
        send(page, "Through a tunnel")
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(conversation(page)).to_contain_text("Light.")
    answers[0].say("Dark.").end()
    expect(conversation(page)).to_contain_text("Light. Dark.")
    expect(conversation(page)).not_to_contain_text("Light. Light.")
    wait_for_end(page)
    assert Message.objects.filter(role="user").count() == 2


def test_connection_that_dies_unnoticed_is_made_anew(
    page: Page, open_page: OpenPage, model: ToldModel
) -> None:
    """As when a laptop sleeps: nothing arrives any more, and there is no error."""
    send(page, "Through the night")
    answer = model.asked().say("Light. ")
    expect(conversation(page)).to_contain_text("Light.")
    with serve(database_url(), AGENT_MODEL="fake", AGENT_BASE_URL=model.base_url) as elsewhere:
        other = open_page(elsewhere.address + urlsplit(page.url).path, beside=page)
        other.clock.install()
        with other.expect_response("**/events"):
            other.reload()
        answer.say("Dusk. ")
        expect(conversation(other)).to_contain_text("Light. Dusk.")  # nothing is on its way
        elsewhere.process.send_signal(signal.SIGSTOP)
        try:
            other.clock.fast_forward(20_000)
            expect(other.get_by_text("Connection lost")).to_be_visible()
        finally:
            elsewhere.process.send_signal(signal.SIGCONT)
        answer.say("Dark.").end()
        expect(conversation(other)).to_contain_text("Light. Dusk. Dark.")
        wait_for_end(other)
        other.close()


def test_page_reconnects_as_soon_as_the_network_is_back(page: Page, model: ToldModel) -> None:
    page.clock.install()
    page.route("**/events", lambda route: route.abort())
    send_and_reload(page, "Through a tunnel")
    answer = model.asked().say("Light.")
    expect(page.get_by_text("Connection lost")).to_be_visible()
    page.context.set_offline(True)
    with page.expect_event("requestfailed"):
        page.clock.pause_at(timezone.now() + timedelta(hours=1))  # no timer triggers a retry
    page.unroute("**/events")
    page.context.set_offline(False)
    expect(conversation(page)).to_contain_text("Light.")
    answer.end()
    wait_for_end(page)


NOT_SHOWN = "The answer could not be shown. Reload the page."
INVALID_EVENTS = [
    'event: text\ndata: {"text": "No HTML."}\n\n',
    'event: text\ndata: {"html": null}\n\n',
    "event: text\ndata: null\n\n",
    'event: end\ndata: {"status": "done"}\n\n',
]


@pytest.mark.parametrize("event", INVALID_EVENTS)
def test_event_without_html_is_not_shown(page: Page, model: ToldModel, event: str) -> None:
    """As from a server newer than the script of a tab left open."""
    tries = []

    def send_invalid_event(route: Route) -> None:
        tries.append(route.request)
        route.fulfill(content_type="text/event-stream", body=event)

    page.route("**/events", send_invalid_event)
    send_and_reload(page, "Do you understand me?")
    expect(page.get_by_text("Connection lost")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_text(NOT_SHOWN)
    assert len(tries) == 3
    expect(page.get_by_text("Connection lost")).to_be_hidden()
    for nothing in ("undefined", "null", "No HTML"):
        expect(conversation(page)).not_to_contain_text(nothing)
    page.unroute("**/events")
    model.asked().say("Now I do.").end()
    page.reload()
    expect(conversation(page)).to_contain_text("Now I do.")


@pytest.mark.parametrize("event", INVALID_EVENTS)
def test_event_without_html_is_asked_for_again(page: Page, model: ToldModel, event: str) -> None:
    def send_invalid_event(route: Route) -> None:
        """The first real `text` event, followed by an invalid one."""
        body = beginning(route.request) + event.encode()
        route.fulfill(content_type="text/event-stream", body=body)

    model.will_say("Here we go.")
    send(page, "Ready?")
    expect(conversation(page)).to_contain_text("Here we go.")
    model.asked()
    page.route("**/messages/", send_invalid_event, times=1)
    model.will_say_first("Light. ")
    with page.expect_response("**/messages/"):
        send(page, "Do you understand me?")
    answer = model.asked()
    expect(conversation(page)).to_contain_text("Light.")
    answer.say("Dark.").end()
    expect(conversation(page)).to_contain_text("Light. Dark.")
    wait_for_end(page)
    expect(page.get_by_text(NOT_SHOWN)).to_be_hidden()
    assert Message.objects.filter(role="user").count() == 2


RECORD_STATUS = """
    window.said = new Set();
    new MutationObserver(() => window.said.add(
        document.querySelector("[data-waiting-text]")?.textContent
    )).observe(document, { childList: true, subtree: true, characterData: true });
"""


def test_events_of_a_newer_server_do_no_harm(page: Page, model: ToldModel) -> None:
    """They may contain less than today's, and some are unknown."""

    def add_events(route: Route) -> None:
        events = 'event: waiting\ndata: {"place":2}\n\nevent: news\ndata: {"now":true}\n\n'
        body = events.encode() + beginning(route.request) + b"event: news\ndata: null\n\n"
        route.fulfill(content_type="text/event-stream", body=body)

    page.add_init_script(RECORD_STATUS)
    page.route("**/events", add_events, times=1)
    send(page, "What is new?")
    answer = model.asked().say("Light. ")
    expect(conversation(page)).to_contain_text("Light.")
    page.reload()
    expect(conversation(page)).to_contain_text("Light.")
    answer.say("Dark.").end()
    expect(conversation(page)).to_contain_text("Light. Dark.")
    wait_for_end(page)
    expect(page.get_by_text(NOT_SHOWN)).to_be_hidden()
    said = page.evaluate("Array.from(window.said)")
    assert "Waiting in line behind 2 other answers." in said
