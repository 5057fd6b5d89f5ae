"""Search, export and printing in the browser, with and without JavaScript, wide and narrow."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered
from tests.browser.axe import check_page
from tests.browser.conftest import OpenPage
from tests.factories import make_session, say

pytestmark = pytest.mark.django_db(transaction=True)

WAYS = [
    pytest.param(
        {"viewport": {"width": width, "height": 800}, "java_script_enabled": script},
        id=f"{width}-{'with' if script else 'without'}-script",
    )
    for width in (390, 1440)
    for script in (True, False)
]


@pytest.fixture
def chat_session(user: User, agent: Agent) -> Session:
    """A long chat in which something is said once, in the middle."""
    chat_session = make_session(user=user, agent=agent, name="A long chat")
    for number in range(80):
        say(chat_session, f"Question {number}?", user=user)
        text = "The **needle** is here." if number == 20 else f"Answer {number}.\n\n" + "Word " * 60
        say(chat_session, text, role="assistant", agent=agent)
    return chat_session


@pytest.mark.parametrize("way", WAYS)
def test_a_hit_is_shown_in_its_chat(
    open_page: OpenPage, chat_session: Session, way: dict[str, Any]
) -> None:
    page = open_page("/chats/", **way)
    page.goto("/chats/?q=need")
    expect(page.locator("mark")).to_have_text("need")
    page.get_by_role("link", name="The needle is here.").click()
    page.wait_for_url(re.compile(rf"{chat_session.pk}/\?at=42&q=need#m42$"))
    expect(page.locator("mark:target")).to_have_text("need")
    expect(page.get_by_text("needle is here")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Show newer messages").click()
    expect(page.get_by_text("Question 33?")).to_be_visible()
    expect(page.get_by_text("Question 32?")).to_have_count(0)
    page.get_by_role("link", name="Back to the latest messages").click()
    expect(page.get_by_text("Question 79?")).to_be_visible()
    expect(page.get_by_label("Message")).to_be_visible()


@pytest.mark.parametrize("place", ["in the middle", "at the end"])
@pytest.mark.parametrize("way", WAYS)
def test_the_words_found_in_a_long_answer_are_marked_and_in_view(
    open_page: OpenPage, chat_session: Session, way: dict[str, Any], place: str
) -> None:
    words = "Word " * 1500
    text = f"{words}\n\nHere is a **haystack**, and one more haystack.\n\n{words}"
    if place == "at the end":
        say(chat_session, text, role="assistant", agent=chat_session.agent)
    else:
        Message.objects.filter(session=chat_session, position=44).update(text_content=text)
    page = open_page("/chats/?q=haystack", **way)
    page.get_by_role("link", name="Here is a haystack").click()
    marks = page.get_by_role("log").locator("mark")
    expect(marks).to_have_text(["haystack", "haystack"])
    page.wait_for_load_state()
    expect(marks.first).to_be_in_viewport()
    page.reload()
    expect(marks.first).to_be_in_viewport()
    page.go_back()
    expect(page.get_by_role("heading", name="Search")).to_be_visible()
    page.go_forward()
    expect(marks.first).to_be_in_viewport()
    if way["java_script_enabled"]:
        check_page(page)
        expect(marks.first).to_be_in_viewport()


def test_a_hit_near_the_end_stays_in_view(
    open_page: OpenPage, chat_session: Session, user: User
) -> None:
    say(chat_session, "A pin.", user=user)
    for number in range(5):
        say(chat_session, f"More {number}. " + "Word " * 200, role="assistant")
    page = open_page(f"/chats/{chat_session.pk}/?at=161#m161")
    expect(page.get_by_text("A pin.")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Jump to latest")).to_be_visible()
    expect(page.get_by_label("Message")).to_be_visible()


def test_the_mark_fades_or_stays_without_motion(open_page: OpenPage, chat_session: Session) -> None:
    path = f"/chats/{chat_session.pk}/?at=42#m42"
    for motion, animation in (("no-preference", "found"), ("reduce", "none")):
        page = open_page(path, reduced_motion=motion)
        style = page.locator(":target .text").evaluate(
            "e => [getComputedStyle(e).animationName, getComputedStyle(e).backgroundColor]"
        )
        assert style[0] == animation
        assert style[1] != "rgba(0, 0, 0, 0)"


@pytest.mark.parametrize("way", WAYS)
def test_exports_are_downloaded(
    open_page: OpenPage, chat_session: Session, way: dict[str, Any]
) -> None:
    page = open_page(f"/chats/{chat_session.pk}/", **way)
    for label, ending in (("Markdown", "md"), ("JSON", "json")):
        item = page.get_by_role("link", name=label, exact=True)
        if not item.is_visible():
            page.locator("details.export > summary").click()
        with page.expect_download() as download:
            item.click()
        if way["java_script_enabled"]:
            expect(item).to_be_hidden()  # as after any menu choice
        assert download.value.suggested_filename.endswith(f"A long chat.{ending}")
        assert "needle" in download.value.path().read_text()
    page.goto("/chats/all/")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export all").click()
    assert download.value.suggested_filename.endswith(".zip")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_printed_page_has_the_chat_alone(open_page: OpenPage, user: User, scheme: str) -> None:
    long_line = "print('" + "a" * 300 + "')"
    answer = (
        "[Source](https://example.org/a), https://example.org/bare and www.example.org\n\n"
        f"```python\n{long_line}\n```\n\n| a |\n|--|\n| 1 |"
    )
    chat_session = answered(user, "What shall we print?", answer)
    page = open_page(f"/chats/{chat_session.pk}/", color_scheme=scheme)
    page.locator("details.export > summary").click()
    page.get_by_role("link", name="Print", exact=True).click()
    page.wait_for_url(re.compile(r"\?all=on$"))
    expect(page.get_by_text("Print this page")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.get_by_role("log")).to_contain_text("What shall we print?")
    for hidden in ("Print this page", "Log out", "Rename", "Copy"):
        expect(page.get_by_text(hidden).first).not_to_be_visible()
    for control in page.locator("main :is(button, summary, form, .button)").all():
        expect(control).not_to_be_visible()
    addresses = page.locator(".text a").evaluate_all(
        "links => links.map(link => getComputedStyle(link, '::after').content)"
    )
    assert "https://example.org/a" in addresses[0].replace('" "', "")
    assert addresses[1:] == ["none", "none"], "they say their address themselves"
    assert page.locator("pre").evaluate("e => e.scrollWidth <= e.clientWidth"), "code wraps"
    colours = page.locator("body").evaluate(
        "e => [getComputedStyle(e).color, getComputedStyle(document.documentElement).colorScheme]"
    )
    assert colours == ["rgb(0, 0, 0)", "light"]


@pytest.mark.parametrize("path", ["/chats/all/", "/chats/trash/"])
def test_printed_lists_have_the_names_alone(open_page: OpenPage, user: User, path: str) -> None:
    answered(user, "Boats")
    Session.objects.filter(pk=answered(user, "Boats").pk).update(trashed_at=timezone.now())
    page = open_page(path)
    page.emulate_media(media="print")
    expect(page.locator("main li [dir]").get_by_text("Boats")).to_be_visible()
    for control in page.locator("main :is(button, label, .button)").all():
        expect(control).not_to_be_visible()
