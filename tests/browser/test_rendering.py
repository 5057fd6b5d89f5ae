"""Rich answers in a real browser: code, formulas, tables, tasks and footnotes, as they stream."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from tests.agents_app.chats import answered
from tests.browser.axe import check_page
from tests.browser.chatting import conversation, send, wait_for_end
from tests.browser.conftest import OpenPage
from tests.factories import say
from tests.model_server import ToldModel

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.browser_only]

ANSWER = r"""# Falling bodies

The time of the fall is $t = \sqrt{2h/g}$, see https://example.org/fall for more.[^air]

$$
\begin{aligned}
h &= \frac{1}{2} g t^2 \\
v &= g t
\end{aligned}
$$

1. Measure the height:

   ```python
   def fall(height: float, gravity: float = 9.81) -> float:
       "Return the time in seconds that a body takes to fall, without the resistance of the air."
       return (2 * height / gravity) ** 0.5
   ```

2. Store it:

   ```sql
   select height, sqrt(2 * height / 9.81) as seconds from towers where height > 100;
   ```

| Tower | Height in metres | Seconds, computed | Seconds, measured | Remark |
|:------|-----------------:|------------------:|------------------:|--------|
| Pisa  | 57 | 3.41 | 3.5 | *Galileo* may have done it |
| Ulm   | 161.5 | 5.74 | | |

- [x] Compute
- [ ] Measure

> מגדל פיזה הוא מגדל פעמונים

| Another | table |
|---------|-------|
| 1 | 2 |

```javascript
const towers = [{ name: "Pisa", height: 57 }]; // one is enough
```

[^air]: Without the resistance of the air.
"""

WINDOWS = [
    pytest.param({"viewport": {"width": 390, "height": 800}, "has_touch": True}, id="phone"),
    pytest.param({"viewport": {"width": 1440, "height": 800}}, id="desktop"),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1440])
def test_several_of_everything_in_several_answers(
    open_page: OpenPage, user: User, width: int, scheme: str
) -> None:
    chat_session = answered(user, "Tell me", ANSWER)
    say(chat_session, "Again")
    say(chat_session, ANSWER, role="assistant")
    page = open_page(
        f"/chats/{chat_session.pk}/",
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    )
    expect(page.locator("math").first).to_be_visible()
    check_page(page)
    ids = page.locator("main [id]").evaluate_all("nodes => nodes.map(node => node.id)")
    assert len(ids) == len(set(ids))
    names = page.locator(".text :is(button, [role])").evaluate_all(
        "nodes => nodes.map(node => node.ariaLabel).filter(name => name !== 'Footnotes')"
    )
    assert len(names) == len(set(names)) == 2 * (3 + 2 + 1)


def test_copy_while_the_code_is_being_written(open_page: OpenPage, model: ToldModel) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    send(page, "Some code")
    answer = model.asked().say("Here:\n\n```python\nx = 1\n")
    copy = page.get_by_role("button", name="Copy python code")
    expect(copy).to_be_visible()
    frame = page.locator(".code")
    frame.evaluate("frame => { frame.isStillThere = true; }")
    answer.say("y = 2\n```\n")
    expect(page.locator(".code .number")).to_have_count(2)
    copy.click()
    expect(page.get_by_role("status")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "x = 1\ny = 2"
    answer.end()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert frame.evaluate("frame => frame.isStillThere")


@pytest.mark.parametrize("javascript", [True, False])
def test_footnotes(open_page: OpenPage, user: User, javascript: bool) -> None:
    chat_session = answered(user, answer=ANSWER)
    page = open_page(f"/chats/{chat_session.pk}/", java_script_enabled=javascript)
    page.get_by_role("link", name="Footnote 1").click()
    expect(page.locator(".footnotes li")).to_be_in_viewport()
    page.get_by_role("link", name="Back to reference 1").click()
    expect(page.get_by_role("link", name="Footnote 1")).to_be_in_viewport()
    copy = page.locator(".copy").first
    expect(copy).to_be_visible() if javascript else expect(copy).to_be_hidden()


WATCH_SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => window.shifts.push(...list.getEntries()))
        .observe({ type: "layout-shift", buffered: true });
}"""
SHIFTS = """() => window.shifts.map(shift => [shift.value, ...shift.sources.map(source =>
    source.node?.nodeName + "." + (source.node?.className ?? source.node?.data))])"""


@pytest.mark.parametrize("thinks", [False, True], ids=["without reasoning", "with reasoning"])
@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_jumps_while_an_answer_streams_and_ends(
    open_page: OpenPage, model: ToldModel, window: dict[str, Any], thinks: bool
) -> None:
    page = open_page(**window)
    send(page, "How long do bodies fall?")
    answer = model.asked()
    if thinks:
        answer.think("Without air, that is.")
    answer.say("So:\n\n")
    expect(conversation(page)).to_contain_text("So:")
    page.evaluate(WATCH_SHIFTS)
    for start in range(0, len(ANSWER), 40):
        if thinks and start % 400 == 0:
            answer.think("Or with it? ")
        answer.say(ANSWER[start : start + 40])
        wait_for_change(page)
    expect(conversation(page)).to_contain_text("Without the resistance")
    before = end_of_text(page)
    answer.end()
    wait_for_end(page)
    expect(page.get_by_text("Reasoning")).to_have_count(int(thinks))
    assert end_of_text(page) == pytest.approx(before, abs=1)
    shifts = page.evaluate(SHIFTS)
    assert sum(shift[0] for shift in shifts) < 0.02, shifts


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_jumps_when_a_short_answer_has_reasoning(
    open_page: OpenPage, model: ToldModel, window: dict[str, Any]
) -> None:
    """With the whole answer in view, anything inserted above the text would move it."""
    page = open_page(**window)
    send(page, "Why?")
    answer = model.asked().think("First I wonder.").say("Because. ")
    expect(conversation(page)).to_contain_text("Because.")
    page.evaluate(WATCH_SHIFTS)
    answer.think("Then I know.").say("So it is.")
    expect(conversation(page)).to_contain_text("So it is.")
    before = end_of_text(page)
    answer.end()
    wait_for_end(page)
    reasoning = page.get_by_text("Reasoning")
    expect(reasoning).to_be_visible()
    assert end_of_text(page) == pytest.approx(before, abs=1)
    shifts = page.evaluate(SHIFTS)
    assert sum(shift[0] for shift in shifts) < 0.02, shifts
    reasoning.click()
    expect(page.get_by_text("First I wonder.")).to_be_visible()
    expect(page.get_by_text("Then I know.")).to_be_visible()


def wait_for_change(page: Page) -> None:
    """Wait until the page looks different from when this was last called."""
    page.wait_for_function(
        """() => {
            const html = document.querySelector("[data-stream]").innerHTML;
            const hasChanged = html !== window.lastSeen;
            window.lastSeen = html;
            return hasChanged;
        }"""
    )


def end_of_text(page: Page) -> float:
    return float(
        page.locator(".theirs .text").last.evaluate("text => text.getBoundingClientRect().bottom")
    )


def test_quotes_and_lists_stand_on_the_side_where_their_words_begin(
    open_page: OpenPage, user: User
) -> None:
    answer = (
        "> שלום\n\n> Hello\n\n- שלום\n- Hello\n\n1. שלום\n\n   עוד\n\n2. שלום\n\nEnd\n\n- Hello"
    )
    page = open_page(f"/chats/{answered(user, answer=answer).pk}/")
    directions = page.locator(".theirs :is(blockquote, ul, ol)").evaluate_all(
        "elements => elements.map(element => getComputedStyle(element).direction)"
    )
    assert directions == ["rtl", "ltr", "rtl", "rtl", "ltr"]


def test_lines_are_as_long_as_they_are_read_well(open_page: OpenPage, user: User) -> None:
    prose = "The quick brown fox jumps over the lazy dog, and nobody knows why it does so. " * 20
    code = f"```\n{'x' * 80}\n```"
    chat_session = answered(user, prose, f"{prose}\n\n1. {prose}\n\n{code}")
    page = open_page(f"/chats/{chat_session.pk}/", viewport={"width": 1440, "height": 800})
    lengths = page.locator(".mine .text, .theirs p, .theirs li").evaluate_all(
        """texts => texts.map(text => {
            const range = document.createRange();
            range.selectNodeContents(text);
            const tops = Array.from(range.getClientRects(), rect => rect.top);
            return text.textContent.length / new Set(tops).size;
        })"""
    )
    assert len(lengths) == 3
    assert all(60 < length < 78 for length in lengths), lengths
    assert page.locator("pre").evaluate("e => e.scrollWidth <= e.clientWidth"), "80 columns of code"


@pytest.mark.parametrize("window", WINDOWS)
def test_newest_words_stay_in_view(
    open_page: OpenPage, model: ToldModel, window: dict[str, Any]
) -> None:
    page = open_page(**window)
    send(page, "At length")
    answer = model.asked().say("line\n" * 60 + "Last words.")
    words = page.locator("[data-waiting]")

    def expect_in_view() -> None:
        expect(conversation(page)).to_contain_text("Last words.")
        page.wait_for_function(
            """() => {
                const words = document.querySelector("[data-waiting]").getBoundingClientRect();
                const bottom = document.querySelector(".bottom form").getBoundingClientRect();
                return words.bottom <= bottom.top && words.top > 0;
            }"""
        )

    expect_in_view()
    page.set_viewport_size(
        {"width": window["viewport"]["width"], "height": 400}
    )  # a phone's keyboard opens
    expect_in_view()
    send(page, "Meanwhile")
    expect(page.get_by_text("Meanwhile")).to_be_visible()
    expect_in_view()
    expect(words).to_be_in_viewport()
    send(page, "A line that says what is wrong")
    expect(page.get_by_role("alert")).to_contain_text("A message is already queued.")
    expect_in_view()
    answer.end()
    model.asked().say("Meanwhile, too.").end()
    expect(conversation(page)).to_contain_text("Meanwhile, too.")


PER_LINE = """paragraph => {
    const { height } = paragraph.getBoundingClientRect();
    const lines = Math.round(height / parseFloat(getComputedStyle(paragraph).lineHeight));
    return paragraph.textContent.length / lines;
}"""


@pytest.mark.parametrize("width", [768, 895, 896, 1024, 1440])
def test_lines_of_prose_are_neither_short_nor_long(
    open_page: OpenPage, user: User, width: int
) -> None:
    words = "It took the keeper an hour to climb up there with the oil for the lamp of the tower. "
    chat_session = answered(user, answer=words * 20)
    page = open_page(f"/chats/{chat_session.pk}/", viewport={"width": width, "height": 900})
    assert 60 <= page.locator(".theirs .text p").evaluate(PER_LINE) <= 80
