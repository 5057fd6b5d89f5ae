"""Markdown rendered while it grows is what the whole text so far is rendered as."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from django.utils.html import escape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents_app.web.rendering import incremental_markdown, long_text
from agents_app.web.rendering.incremental_markdown import Delta, IncrementalMarkdown
from agents_app.web.rendering.markdown import markdown, markdown_parser
from sessions_app.displayable import encodable


class Page:
    """What a page does with deltas, on strings of UTF-16 like JavaScript's."""

    def __init__(self) -> None:
        self.incremental = IncrementalMarkdown(id_prefix="6-")
        self.finished = self.open = b""

    def append(self, piece: str) -> Delta:
        delta = self.incremental.append(piece)
        if delta.reset:
            self.finished = self.open = b""
        assert 2 * delta.keep <= len(self.open)
        self.open = self.open[: 2 * delta.keep] + delta.html.encode("utf-16-le")
        assert 2 * delta.finish <= len(self.open)
        self.finished += self.open[: 2 * delta.finish]
        self.open = self.open[2 * delta.finish :]
        return delta

    @property
    def html(self) -> str:
        return (self.finished + self.open).decode("utf-16-le")


def check(text: str, cuts: Sequence[int]) -> list[Delta]:
    """Append the text cut at these places; what the page shows is right after each piece."""
    page = Page()
    deltas = []
    for start, end in pairwise([0, *cuts, len(text)]):
        deltas.append(page.append(text[start:end]))
        assert page.html == markdown(encodable(text[:end]), id_prefix="6-"), text[:end]
    return deltas


def check_every_cut(text: str) -> list[Delta]:
    return check(text, range(1, len(text)))


FRAGMENTS = [
    *("\n", "\n\n", "\r\n", "\r", " ", "    ", "\t", "  \n", "\\\n"),
    *("word", "two words", "Plain prose, with (marks) - and so on.\n\n"),
    *("# ", "## ", "### ", "# one\n\n", "### three\n\n", "===", "---", "\n---\n"),
    *(
        "- ",
        "* ",
        "+ ",
        "1. ",
        "2. ",
        "7) ",
        "- item\n",
        "- item\n\n",
        "1. item\n\n",
        "  - inner\n",
    ),
    *("> ", ">", "> quoted\n", "> quoted\n\n", "***", "- - -"),
    *("```", "~~~", "````", "```py\n", "```\ncode\n```\n\n", "    indented\n\n"),
    *("|", "| a | b |\n", "|--|:-:|\n", "|--|", "| 1 | 2 |\n", "a | b\n--|--\n"),
    *("[a]", "[b][a]", "[b]", "![a]", "[x](https://e.org)", "[x](", "](", ")", "[", "]", "\\["),
    *("[a]: /url", "[a]: /u 'ti", "tle'", '"t"', "[b]: <", "[A]: /other\n\n", "[b]: /v\n", ": "),
    *("*", "**", "_", "~~", "`", "``", "**bold**", "`code`", "<https://e.org>", "\\"),
    *("&amp;", "&am", "&#65;", "&", "<b>", "<!--", "<script>alert(1)</script>", '"><img src=x>'),
    *("\0", "\ufffd", "\xa0", "\x0b", "\x0c", "\x85", "\u2028", "é", "\U0001f600", "\ufeff"),
    *("\ud83d", "\ude00"),
    *("$", "$$", "\\(", "\\)", "\\[", "\\]", "$a_1$", "$5", "\\(b^2\\)", "\\unknown", "x^"),
    *("$$\nc\n- d\n$$\n", "\\[\n= e\n\\]\n\n", "$$f$$", "\\begin{align}", "{", "}"),
    *("[^a]", "[^b]", "[^a]: note\n", "[^b]: note\n\n    more\n\n", "[^a]: see[^b]\n\n"),
    *("- [ ] ", "- [x] done\n", "- [X]", "[ ] ", "1. [x] one\n\n   more\n"),
    *("https://e.org", "http://", "e.org/a_b_", "mailto:", "ana@e.org", "//e.org", "://"),
    *("www.", "www.e.org"),
    *("```py\ndef f():\n    '", "```js\nlet a = `\n", "```nope\n", "```\n", '"""\n'),
]
NASTY = st.text("\n\n\r\t #>-=*_`~|:[]()<>&;\\!+.1aZ$^'\"\0\U0001f600\ud83d", max_size=6)
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | NASTY, max_size=25).map("".join)


@settings(deadline=None, max_examples=150)
@given(TEXTS)
def test_right_at_every_cut(text: str) -> None:
    check_every_cut(text)


@settings(deadline=None, max_examples=300)
@given(TEXTS, st.data())
def test_right_with_pieces_of_any_size(text: str, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    check(text, cuts)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("Title\nof two lines\n===\n\nText\n---\nmore", id="setext headings"),
        pytest.param("- one\n- two\n\n- three\n\n\n- four\n\nend", id="a list becomes loose"),
        pytest.param("- one\n\n  more\n\n      code\n\n    - in\n\n- two\n\nend", id="nested list"),
        pytest.param("1. one\n\n2. two\n\n10. ten\n\n1) other\n\n2024 is no item", id="numbers"),
        pytest.param("- one\n\n* other list\n\n**bold**\n\n- - -\n\n-5 degrees", id="list or not"),
        pytest.param("- one\n\n-", id="an empty item"),
        pytest.param("> quoted\nlazy\n===\n\n> again\n\n>\nno\n> ```\nout", id="lazy continuation"),
        pytest.param("a | b\n--|--\n1 | 2\n\n| c |\n|:-:|\n| 3 |\nlast\n\nend", id="tables"),
        pytest.param("text\n# a | b\n--|--\n1 | 2", id="a heading becomes a table"),
        pytest.param(
            "```py\na\n\n- b\n```\n\n~~~\n```\n\n# c\n~~~ \n\nend\n\n```\nd\n\n", id="fences"
        ),
        pytest.param("- ```\n  a\n\n  b\n\nend\n\n> ```\n> c\n\nend", id="fences in blocks"),
        pytest.param("text\n\n    code\n\n\n    more\n\n   text\n\n\tcode\n\n  end", id="indented"),
        pytest.param(
            "one\n\n<script>alert(1)</script>\n\n<!-- two\n\n-->\n\n<b>", id="HTML is text"
        ),
        pytest.param("hard  \nbreak\\\nend \\\n\n*a* &amp; &#x1F600; &nope; `c`", id="inline"),
        pytest.param("Prose (or - not?) goes on: _this_ is emphasis", id="prose"),
        pytest.param("one\r\n\r\ntwo\r\ntwo\rthree\r\r\nfour\r\n\n\r- five\r\n", id="line ends"),
        pytest.param("\ud83d\ude00 \ud83d\n\n\U0001f600 **\U0001f600** \udc00", id="surrogates"),
        pytest.param("### 3\n\n# 1\n\n###### 6\n\n## 2\n\n> # 1\n\n### 3\n", id="heading levels"),
        pytest.param("[![a](/i)](/l) [*[b](/m)*](/n)\n\n**c\n\nd**", id="links in links"),
        pytest.param("***a **b *c **d*****\n\n~~e *f~~ g*\n\nh*", id="nested emphasis"),
        pytest.param("\n\n   \n\t\n\nend\n\n   \n", id="blank lines"),
        pytest.param("$$\na\n- b\n$$\n\n$$\nc\n\n- d\n$$\n\nend", id="formulas on lines"),
        pytest.param("a \\[\nb\n=\n\\] c\n\\[\nd\n\\]\ne\n\n> \\[ f\n\\]\n\nend", id="brackets"),
        pytest.param("- $$\n  a\n  $$\n\n  $$\nb\n$$\n\n$5 and $10, $c$5 $d$\n\nend", id="dollars"),
        pytest.param("\\(a\\) \\(b \\\\( $c\nd$ $$e$$ \\(f^\\) $\\nope$\n\n$g", id="in the text"),
        pytest.param("- [ ] a\n- [x] b\n\n  c\n- [x]\n- [x](/d)\n1. [X] e\n\nend", id="tasks"),
        pytest.param("https://e.org/a_b_c. See http://e.org\n\n*https://f.org*", id="bare links"),
        pytest.param("See www.e.org/a_b, (WWW.e.org) and ftp://www.e.org\n\nwww.f.org", id="www"),
        pytest.param("| a |\n|---|\n| $b$ |\n\n- | c |\n  |---|\n\n| d |\n|---|\n", id="numbers"),
        pytest.param(
            "```py\na\n```\n\n- ```js\n  b\n  ```\n\n      c\n\n```\nd", id="code numbers"
        ),
        pytest.param(
            "[^a]: b\n\n    c\n\n     d\n\ne[^a] f[^a]\n\n> g[^a]\n\nend", id="notes first"
        ),
        pytest.param("- " * 14 + "deep\n\nlost\n\n" + "> " * 25 + "deep\n\nend", id="deep nesting"),
    ],
)
def test_meaning_that_changes_late(text: str) -> None:
    deltas = check_every_cut(text)
    assert not any(delta.reset for delta in deltas)


@pytest.mark.parametrize(
    ("text", "resets"),
    [
        pytest.param("[a] and [b]\n\nmore\n\n[a]: /u 'title'\n[b]: /v\n\nend", 2, id="late"),
        pytest.param("[a]: /u\n\n[a]\n\n[A]: /v\n\n[a] ![a]", 0, id="the first counts"),
        pytest.param("[a]\n\n- > [a]: /u\n\nend", 1, id="nested"),
        pytest.param("[a]\n\n[a]: /u no\n\nmore\n\n[a]: /v\n\nend", 2, id="not a definition"),
        pytest.param("`[a]` [x](/y)\n\n[a]: /u\n\nend", 0, id="not used"),
        pytest.param("![a]\n\n[a]: /u", 1, id="image"),
        pytest.param("[a]\n\n[a]:\n/u\n'title\n\n", 1, id="title never ends"),
        pytest.param("# 1\n\n[a]\n\n## 2\n\n[a]: /u\n\n## 2", 1, id="between headings"),
        pytest.param("a[^1] b[^2]\n\n[^2]: c\n[^1]: d[^2]\n\nend[^1]", 2, id="footnotes"),
        pytest.param("a[^1]\n\n> - [^1]: b\n>   [^2]: c[^2]\n\nend[^2]", 1, id="nested footnotes"),
        pytest.param("a[^1]\n\n[^1]: b | c\n---|---\n\nend", 2, id="a footnote becomes a table"),
        pytest.param("a[^1]\n\n$$\n[^1]: b\n$$\n\nend", 2, id="a footnote becomes a formula"),
        pytest.param("a[^1]\n\n[^1]: b\n\n[^1]: c\n\n    ```\n    d\n\nend", 1, id="twice"),
    ],
)
def test_definition_changes_finished_blocks(text: str, resets: int) -> None:
    deltas = check_every_cut(text)
    assert sum(delta.reset for delta in deltas) == resets


def test_blocks_finish_as_soon_as_nothing_can_change_them() -> None:
    page = Page()
    for piece, finished in [
        ("One", ""),
        ("\n", ""),
        ("\n", "One"),
        ("- two\n", ""),
        ("\n", ""),
        ("Th", "two"),
        ("ree\n\n    four\n\n", "Three"),
        ("-", ""),
        ("--", "four"),
        ("\n\n```\n\n", "<hr>"),
        ("five\n```\n\n", "five"),
        ("| six |\n|---|\n\n", "six"),
    ]:
        before = len(page.finished)
        page.append(piece)
        added = page.finished[before:].decode("utf-16-le")
        assert finished in added, piece
        assert bool(added) == bool(finished), piece


def test_only_what_differs_is_sent() -> None:
    page = Page()
    assert page.append("\U0001f600 **one").html == '<p dir="auto">\U0001f600 **one</p>\n'
    delta = page.append("** two")
    assert delta == Delta(keep=len('<p dir="auto">') + 3, html="<strong>one</strong> two</p>\n")
    assert page.append("\n\n") == Delta(keep=len(page.html) + 1, html="", finish=len(page.html) + 1)
    assert page.append("") == Delta(keep=0, html="")


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> int:
    """How long text may be to be parsed as a whole, so short that tests need little of it."""
    for module in (long_text, incremental_markdown):
        monkeypatch.setattr(module, "MAX_LENGTH", 30)
    return 30


def test_only_the_beginning_of_long_text_is_parsed(limit: int) -> None:
    text = "**one**\r\n\n[a] 'two'\n\n\U0001f600 <b>three\n\n[a]: /u\r\n & \U0001f600 '"
    deltas = check_every_cut(text)
    assert [number for number, delta in enumerate(deltas, 1) if delta.reset] == [limit + 1]
    assert max(len(delta.html) for delta in deltas[limit + 1 :]) < 15
    check(text, [])
    html = markdown(text)
    assert html.startswith('<p dir="auto"><strong>one</strong></p>')
    assert html.endswith("[a]: /u\r\n &amp; \U0001f600 &#x27;</p>")


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_in_long_text_keeps_its_frame(limit: int, fence: str) -> None:
    code = "".join(f"line {number} of <code>\n\n" for number in range(5))
    text = f"# one\n\n{fence}py\n{code}{fence}\n**two**\n\n{fence}\n{code}"
    check_every_cut(text)
    check(text, [])
    html = markdown(text)
    assert "<h3" in html
    assert html.count(f"{escape(code)}</code>") == 2
    assert "**two**" in html
    assert set(re.findall(r'aria-label="(.+?)"', html)) == {"Copy py code 1", "Copy code 2"}


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(TEXTS)
def test_long_text_is_right_at_every_cut(limit: int, text: str) -> None:
    check_every_cut(text)


@pytest.mark.parametrize(
    "paragraph",
    [
        "Plain prose that goes on and on, a hundred characters or so, as in most answers.\n\n",
        "Some *marked* `prose` that goes on and on, a hundred characters or so, as in [a].\n\n",
    ],
)
def test_cost_grows_with_the_open_block(monkeypatch: pytest.MonkeyPatch, paragraph: str) -> None:
    text = paragraph * 200
    piece_length = 4
    parsed = 0
    parse_blocks, parse_inlines = markdown_parser().block.parse, markdown_parser().inline.parse

    def count_blocks(source: str, *arguments: Any) -> Any:
        nonlocal parsed
        parsed += len(source)
        return parse_blocks(source, *arguments)

    def count_inlines(source: str, *arguments: Any) -> Any:
        nonlocal parsed
        parsed += len(source)
        return parse_inlines(source, *arguments)

    monkeypatch.setattr(markdown_parser().block, "parse", count_blocks)
    monkeypatch.setattr(markdown_parser().inline, "parse", count_inlines)
    page = Page()
    sent = 0
    for start in range(0, len(text), piece_length):
        sent += len(page.append(text[start : start + piece_length]).html)
    # Each piece has the open block parsed: half a paragraph on average, its lines and its text.
    assert parsed < 1.5 * len(text) * len(paragraph) / piece_length
    monkeypatch.undo()
    assert page.html == markdown(text, id_prefix="6-")
    assert sent < 4 * len(page.html)
