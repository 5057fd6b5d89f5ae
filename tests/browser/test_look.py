"""Measurable parts of the chat pages' look: edges, contrast, space."""

import base64

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Locator, Page, expect

from agents_app.models import Agent
from sessions_app.models import Session
from tests.agents_app.chats import answered
from tests.browser.conftest import OpenPage
from tests.factories import say

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
ARABIC, ENGLISH = "قوس قزح", "Rainbows"

# The left and right edges of an element's text, from the left edge of the window.
WORDS = """(element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const { left, right } = range.getBoundingClientRect();
    return [left, right];
}"""
SEEN = "(element) => element.checkVisibility({ opacityProperty: true })"
# The colours of an image at two points: well inside a mark, and in the corner beside it.
COLOURS = """async (png) => {
    const bytes = Uint8Array.from(atob(png), (character) => character.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    const inside = 4 * (Math.floor(image.height / 5) * image.width + Math.floor(image.width / 2));
    return [inside, 0].map((start) => Array.from(data.slice(start, start + 3)));
}"""


def luminance(colour: list[int]) -> float:
    parts = [part / 255 for part in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(mark: Locator) -> float:
    """The contrast of a mark with its surroundings, as defined by WCAG 2."""
    mark.page.wait_for_load_state()
    png = base64.b64encode(mark.screenshot()).decode()
    dark, light = sorted(map(luminance, mark.page.evaluate(COLOURS, png)))
    return (light + 0.05) / (dark + 0.05)


def left(page: Page, selector: str, text: str) -> float:
    words = page.locator(selector).get_by_text(text, exact=True)
    return float(words.first.evaluate(WORDS)[0])


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_names_begin_at_the_edge_of_their_list_whatever_their_direction(
    open_page: OpenPage, user: User, agent: Agent, size: dict[str, int]
) -> None:
    for name in (ARABIC, ENGLISH):
        for _ in range(2):
            chat_session = answered(user, f"{name} said", f"{name} again")
            Session.objects.filter(pk=chat_session.pk).update(name=name)
        Session.objects.filter(pk=chat_session.pk).update(trashed_at=timezone.now())
    page = open_page("/chats/all/", viewport=size, reduced_motion="reduce")
    if size is NARROW:
        page.get_by_role("link", name="Open the list of chats").click()
    expect(page.get_by_role("complementary")).to_be_visible()
    assert left(page, ".sidebar", ARABIC) == pytest.approx(left(page, ".sidebar", ENGLISH), abs=1)
    for path in ("/chats/all/", "/chats/trash/"):
        page.goto(path)
        edges = [left(page, "main", name) for name in (ARABIC, ENGLISH)]
        assert edges[0] == pytest.approx(edges[1], abs=1), path
    found = []
    for name in (ARABIC, ENGLISH):
        page.goto(f"/chats/?q={name}")
        found.append([left(page, f"main {part}", name) for part in ("h3", ".name")])
    assert found[0] == pytest.approx(found[1], abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_mark_stands_out(open_page: OpenPage, user: User, agent: Agent, scheme: str) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True, is_superuser=True)
    for path, login, place in (
        ("/chats/", True, ".sidebar .brand svg"),
        ("/accounts/login/", False, ".brand svg"),
        ("/admin/", True, "#site-name svg"),
    ):
        page = open_page(path, login=login, color_scheme=scheme)
        assert contrast(page.locator(place)) >= 4.5, path


def test_the_sidebar_holds_what_is_in_it(open_page: OpenPage, user: User, agent: Agent) -> None:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    answered(user, "A long name " * 9)
    page = open_page(viewport=WIDE)
    expect(page.get_by_role("link", name="Admin")).to_be_visible()
    page.wait_for_load_state()
    assert page.locator(".sidebar").evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("preference", [{"contrast": "more"}, {"forced_colors": "active"}])
def test_where_one_is_has_an_outline_for_those_who_need_contrast(
    open_page: OpenPage, user: User, agent: Agent, preference: dict[str, str]
) -> None:
    page = open_page(f"/chats/{answered(user).pk}/", **preference)
    expect(page.get_by_label("Message")).to_be_focused()
    outlined = page.locator(".composer, .entry:has([aria-current])")
    expect(outlined).to_have_count(2)
    for element in outlined.all():
        expect(element).to_have_css("outline-style", "solid")
    page.goto("/chats/all/")
    expect(page.get_by_role("link", name="All chats")).to_have_css("outline-style", "solid")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_tables_run_as_their_words_do(
    open_page: OpenPage, user: User, agent: Agent, size: dict[str, int]
) -> None:
    tables = "| {0} | {0} |\n|---|---|\n| {0} | 42 |\n\n"
    answer = tables.format(ARABIC) + tables.format(ENGLISH)
    page = open_page(f"/chats/{answered(user, answer=answer).pk}/", viewport=size)
    for number, step in ((1, -1), (2, 1)):
        table = page.get_by_role("region", name=f"Table 1-{number}").locator("table")
        cells = [
            [cell.evaluate(WORDS) for cell in row.locator("th, td").all()]
            for row in table.locator("tr").all()
        ]
        start = slice(None, None, step)  # where words begin: left or right
        for column in zip(*cells, strict=True):
            begins = [words[start][0] for words in column]
            assert begins[0] == pytest.approx(begins[1], abs=1), "a column has one edge"
        for first, second in cells:
            assert (second[start][0] - first[start][1]) * step >= 20, "columns stand apart"


def test_what_can_be_done_with_an_answer_needs_no_pointer(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    chat_session = answered(user)
    say(chat_session, "And then?", user=user)
    say(chat_session, "That.", role="assistant", agent=agent)
    page = open_page(f"/chats/{chat_session.pk}/", viewport=WIDE)
    page.wait_for_load_state()
    for action in ("Good answer 1", "Bad answer 1", "Good answer 3"):
        assert page.get_by_role("button", name=action).evaluate(SEEN), action
    edit = page.get_by_role("link", name="Edit question 1")
    assert not edit.evaluate(SEEN)
    page.get_by_role("log").get_by_text("Hello", exact=True).hover()
    page.wait_for_function(SEEN, arg=edit.element_handle())


def test_the_head_of_a_chat_is_level_with_that_of_the_sidebar(
    open_page: OpenPage, user: User, agent: Agent
) -> None:
    page = open_page(f"/chats/{answered(user).pk}/", viewport=WIDE)
    heads = [page.locator(".sidebar .brand"), page.locator(".chat-head .what")]
    page.wait_for_load_state()
    middles = [
        head.evaluate("({ offsetHeight, offsetTop }) => offsetTop + offsetHeight / 2")
        for head in heads
    ]
    assert middles[0] == pytest.approx(middles[1], abs=2)
    top = page.locator(".chat-head h1").evaluate("element => element.getBoundingClientRect().top")
    assert top >= 12
