"""An answer while it is written and when it ends: what is already on the page stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chatting import conversation, send, wait_for_end
from tests.browser.conftest import OpenPage
from tests.conftest import database_url
from tests.model_server import Answer, ToldModel, ToolCall
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

TOOL_AGENTS = "tests.agents_app.api.tool_agents:application"
CALL = ToolCall("weather", {"city": "Recife"})
WIDTHS = pytest.mark.parametrize("width", [390, 1440])


@pytest.fixture(scope="module")
def served(django_db_setup: None, model_server: ToldModel) -> Iterator[str]:
    with serve(
        database_url(), None, TOOL_AGENTS, AGENT_MODEL="fake", AGENT_BASE_URL=model_server.base_url
    ) as server:
        yield server.address


# Marks all elements of the texts, and selects a range between two texts or within one.
MARK = "() => document.querySelectorAll('.theirs .text *').forEach(e => { e.isMarked = true; })"
UNMARKED = """() => Array.from(document.querySelectorAll(".theirs .text *"))
    .filter(e => !e.isMarked).map(e => e.outerHTML)"""
SELECT = """([start, end]) => {
    const walker = document.createTreeWalker(document.querySelector("[role=log]"), 4);
    const find = (words) => {
        while (walker.nextNode()) {
            const at = walker.currentNode.data.indexOf(words);
            if (at >= 0) return [walker.currentNode, at];
        }
        throw new Error(words);
    };
    const [from, at] = find(start);
    walker.currentNode = walker.root;
    const [to, until] = find(end);
    getSelection().setBaseAndExtent(from, at, to, until + end.length);
}"""
# The last answer as shown, without the actions, whose forms have tokens, and without JSON, whose
# keys PostgreSQL sorts.
SHOWN = """() => {
    const answer = Array.from(document.querySelectorAll("[data-answer]")).at(-1);
    const copy = answer.cloneNode(true);
    copy.querySelectorAll(".message-actions, form, .tool pre").forEach(e => e.remove());
    return copy.outerHTML;
}"""


def selected(page: Page) -> str:
    return str(page.evaluate("getSelection().toString()"))


def expect_same_after_reload(page: Page) -> None:
    """Expect that the script has built what the server renders."""
    shown = page.evaluate(SHOWN)
    page.reload()
    expect(page.get_by_role("button", name="Regenerate").last).to_be_visible()
    assert page.evaluate(SHOWN) == shown


def ask(page: Page, model: ToldModel, text: str) -> Answer:
    """An answer that begins with this text, sent in one piece."""
    send(page, "Tell me")
    answer = model.asked().say(text)
    expect(conversation(page)).to_contain_text(text.split()[0])
    return answer


FIRST = "Let me **look**.\n\n| Place |\n|---|\n| Recife |\n\nA moment."
LAST = "# Result\n\nIt is *clear*.\n\n```python\nx = 1\n```\n\n| Sky |\n|---|\n| clear |\n\nBye."


@WIDTHS
@pytest.mark.parametrize("thinks", [False, True], ids=["without reasoning", "with reasoning"])
def test_answer_with_a_tool_keeps_what_was_streamed(
    open_page: OpenPage, model: ToldModel, width: int, thinks: bool
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    send(page, "Tell me")
    answer = model.asked()
    if thinks:
        answer.think("Where is that?")
    answer.say(FIRST, CALL).end()
    answer = model.asked()
    if thinks:
        answer.think("Now I know.")
    answer.say(LAST)
    expect(conversation(page)).to_contain_text("Bye.")
    expect(page.locator("[data-answer]")).to_have_count(1)
    page.evaluate(MARK)
    page.evaluate(SELECT, ["look", "It is"])
    before = selected(page)
    assert before.startswith("look")
    page.get_by_role("button", name="Copy python code").focus()
    answer.end()
    wait_for_end(page)
    expect(page.get_by_text("Used a tool: weather")).to_be_visible()
    assert page.evaluate(UNMARKED) == []
    # What has arrived in between is selected as well.
    assert selected(page).split()[0] == "look."
    assert selected(page).endswith("It is")
    expect(page.get_by_role("button", name="Copy python code")).to_be_focused()
    order = page.locator("[data-answer] > :is(article, details)").evaluate_all(
        "parts => parts.map(part => part.className)"
    )
    assert order == ["message theirs", "tool", "tool", "message theirs"]
    expect(page.get_by_text("Reasoning")).to_have_count(2 if thinks else 0)
    expect(page.get_by_role("button", name="Copy answer 1")).to_be_visible()
    expect_same_after_reload(page)


def test_selection_in_one_text_stays(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page()
    ask(page, model, FIRST).say(CALL).end()
    answer = model.asked().say(LAST)
    expect(conversation(page)).to_contain_text("Bye.")
    for words in (["Let me", "look"], ["It is", "clear"]):
        page.evaluate(SELECT, words)
        assert " ".join(words) in selected(page)
    page.evaluate(SELECT, ["Let me", "look"])
    answer.end()
    wait_for_end(page)
    assert selected(page) == "Let me look"


def test_tool_before_any_text(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page()
    send(page, "Tell me")
    model.asked().think("Where is that?").say(CALL).end()
    answer = model.asked().say(LAST)
    expect(conversation(page)).to_contain_text("Bye.")
    page.evaluate(MARK)
    answer.end()
    wait_for_end(page)
    assert page.evaluate(UNMARKED) == []
    order = page.locator("[data-answer] > :is(article, details)").evaluate_all(
        "parts => parts.map(part => part.className)"
    )
    assert order == ["reasoning", "tool", "tool", "message theirs"]
    expect_same_after_reload(page)


@WIDTHS
@pytest.mark.parametrize("said", ["", "Let me look."], ids=["at once", "after a text"])
def test_tool_is_named_while_it_runs(
    open_page: OpenPage, model: ToldModel, tmp_path: Path, width: int, said: str
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    send(page, "Tell me")
    file = tmp_path / "there"
    model.asked().say(said, ToolCall("wait_for_file", {"path": str(file)})).end()
    using = conversation(page).get_by_text("Using wait_for_file…")
    expect(using).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    expect(using).to_be_visible()
    file.touch()
    answer = model.asked()
    expect(using).to_have_count(0)
    answer.say("There.").end()
    wait_for_end(page)
    expect(page.get_by_text("Used a tool: wait_for_file")).to_be_visible()
    expect_same_after_reload(page)


@pytest.mark.parametrize(
    ("first", "last"),
    [("- One", "- Two"), ("One[^1]\n\n[^1]: Note.", "Two[^1]\n\n[^1]: Other."), ("[a]", "[a]: /b")],
    ids=["list", "footnotes", "definition"],
)
def test_texts_that_read_otherwise_when_they_are_one(
    open_page: OpenPage, model: ToldModel, first: str, last: str
) -> None:
    page = open_page()
    ask(page, model, f"Begin\n\n{first}").say(CALL).end()
    answer = model.asked().say(f"{last}\n\nEnd")
    expect(conversation(page)).to_contain_text("End")
    answer.end()
    wait_for_end(page)
    expect(page.locator("[data-answer] > .tool")).to_have_count(2)
    expect_same_after_reload(page)


def test_answer_that_is_continued_keeps_its_beginning(
    open_page: OpenPage, model: ToldModel
) -> None:
    page = open_page()
    model.finish_reason = "length"
    try:
        ask(page, model, "One, two,").end()
        page.get_by_role("button", name="Continue").click()
    finally:
        model.finish_reason = "stop"
    answer = model.asked().say("three, **four**.")
    expect(conversation(page)).to_contain_text("three, four.")
    page.evaluate(MARK)
    page.evaluate(SELECT, ["two", "four"])
    before = selected(page)
    answer.end()
    wait_for_end(page)
    expect(page.get_by_role("button", name="Continue")).to_have_count(0)
    assert page.evaluate(UNMARKED) == []
    assert selected(page) == before
    expect_same_after_reload(page)


@pytest.mark.parametrize("ending", ["stopped", "failed"])
def test_what_an_answer_has_said_stays_when_it_ends_early(
    open_page: OpenPage, model: ToldModel, ending: str
) -> None:
    page = open_page()
    answer = ask(page, model, "One, **two**")
    page.evaluate(MARK)
    page.evaluate(SELECT, ["One", "two"])
    if ending == "stopped":
        other = open_page(page.url, beside=page)  # the button here would take the focus
        other.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("Stopped", exact=True)).to_be_visible()
    else:
        model.finish_reason = None
        try:
            answer.end()
            expect(page.get_by_role("button", name="Retry")).to_be_visible()
        finally:
            model.finish_reason = "stop"
    assert page.evaluate(UNMARKED) == []
    assert selected(page) == "One, two"


# --- Reasoning ------------------------------------------------------------------


def summary(page: Page) -> Any:
    return conversation(page).locator(".reasoning summary")


@WIDTHS
def test_reasoning_is_shown_folded_while_the_model_thinks(
    open_page: OpenPage, model: ToldModel, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    send(page, "Why?")
    answer = model.asked().think("First I <wonder>")
    expect(summary(page)).to_have_text("Thinking…")
    expect(conversation(page).get_by_text("Thinking…")).to_have_count(1)
    thoughts = page.get_by_text("First I <wonder>")
    expect(thoughts).to_be_hidden()
    summary(page).click()
    expect(thoughts).to_be_visible()
    page.evaluate(SELECT, ["wonder", ">"])
    answer.think(", then I know.")
    expect(page.get_by_text("First I <wonder>, then I know.", exact=True)).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    answer.say("Because. ")
    expect(conversation(page)).to_contain_text("Because.")
    expect(summary(page)).to_have_text("Reasoning")
    answer.think("Or not?")
    expect(summary(page)).to_have_text("Thinking…")
    answer.say("So it is.").end()
    wait_for_end(page)
    expect(summary(page)).to_have_text("Reasoning")
    expect(page.get_by_text("First I <wonder>, then I know.")).to_be_visible()  # it stays open
    assert selected(page) == "wonder>"
    summary(page).click()
    expect_same_after_reload(page)


def test_reasoning_after_a_reload(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page()
    send(page, "Why?")
    answer = model.asked().think("First I wonder.")
    expect(summary(page)).to_have_text("Thinking…")
    page.reload()
    expect(summary(page)).to_have_text("Thinking…")
    summary(page).click()
    expect(page.get_by_text("First I wonder.")).to_be_visible()
    answer.say("Because.").end()
    wait_for_end(page)
    expect(summary(page)).to_have_count(1)
    expect(page.get_by_text("First I wonder.")).to_be_visible()


def test_reasoning_watched_from_another_process(open_page: OpenPage, model: ToldModel) -> None:
    """The other page shows that the model is thinking, and its reasoning later."""
    page = open_page()
    send(page, "Why?")
    answer = model.asked().think("First I wonder.")
    expect(summary(page)).to_have_text("Thinking…")
    with serve(database_url(), AGENT_MODEL="fake", AGENT_BASE_URL=model.base_url) as elsewhere:
        other = open_page(elsewhere.address + urlsplit(page.url).path, beside=page)
        expect(conversation(other).get_by_text("Thinking…")).to_be_visible()
        answer.say("Because.")
        expect(conversation(other)).to_contain_text("Because.")
        expect(conversation(other).get_by_text("Thinking…")).to_have_count(0)
        answer.end()
        expect(summary(other)).to_have_text("Reasoning")
        other.close()
    wait_for_end(page)


@WIDTHS
def test_nothing_jumps_between_thinking_and_the_end(
    open_page: OpenPage, model: ToldModel, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    send(page, "Why?")
    answer = model.asked()
    expect(conversation(page).get_by_text("Thinking…")).to_be_visible()
    page.evaluate(WATCH_SHIFTS)
    places = [place(page)]
    for piece in ("First I wonder. ", "Then I know. "):
        answer.think(piece)
        expect(page.locator(".reasoning .plain")).to_contain_text(piece.strip())
        places.append(place(page))
    answer.say("Because.")
    expect(conversation(page)).to_contain_text("Because.")
    places.append(place(page))
    answer.end()
    wait_for_end(page)
    places.append(place(page))
    assert places == [pytest.approx(places[0], abs=1)] * 5
    shifts = page.evaluate("window.shifts.map(shift => shift.value)")
    assert sum(shifts) < 0.02, shifts


WATCH_SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))
        .observe({ type: "layout-shift" });
}"""


def place(page: Page) -> float:
    """The position of the answer's text."""
    text = page.locator(".theirs .text").last
    return float(text.evaluate("text => text.getBoundingClientRect().top"))
