"""Markdown as HTML that fits into the page."""

import re
from html import unescape

import pytest

from agents_app.web.rendering.markdown import markdown, plain_text


def test_heading_is_one_level_below_the_heading_it_belongs_to() -> None:
    html = markdown("### a\n\n# b\n\n### c\n\n#### d\n\n## e\n\n# f\n\n" + "#" * 6 + " g")
    assert re.findall(r"<(h\d)[^>]*>(\w)", html) == [
        *(("h3", "a"), ("h3", "b"), ("h4", "c"), ("h5", "d")),
        *(("h4", "e"), ("h3", "f"), ("h4", "g")),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "$5 and $10, US$5-$10, $HOME and $PATH",
        "5$ or 6$, $ 7 $ and $",
        r"\$x\$ costs",
    ],
)
def test_dollar_signs_that_are_no_formulas(text: str) -> None:
    assert markdown(text) == f'<p dir="auto">{text.replace(chr(92), "")}</p>\n'


@pytest.mark.parametrize("formula", ["$x^2$", r"\(x^2\)", "$$x^2$$", r"\[x^2\]"])
def test_formulas(formula: str) -> None:
    for text in (formula, f"So: {formula}, and so on.", f"- {formula}", f"|{formula}|\n|-|"):
        html = markdown(text)
        assert "<msup><mi>x</mi><mn>2</mn></msup>" in html
        assert html.count('role="group"') == (formula[:2] in {"$$", r"\["})
    assert formula in plain_text(f"So: {formula}!")


@pytest.mark.parametrize(
    "tex",
    [
        r"\alpha",
        r"\pi r^2",
        r"x \in \mathbb{R}",
        r"\partial f'(x)",
        r"a \le b",
        r"\sin^2\theta",
        r"\lambda \to \infty",
        r"\int_0^\infty e^{-x^2}dx=\frac{\sqrt\pi}2",
        r"\sum_{i=1}^n i",
    ],
)
def test_symbols_are_read(tex: str) -> None:
    html = markdown(f"So ${tex}$, and $${tex}$$")
    assert html.count("<math") == 2
    assert "formula-source" not in html


@pytest.mark.parametrize(
    ("tex", "spaces"),
    [
        (r"\sin x", 1),
        (r"2\log_2 x", 2),
        (r"\sin^2\theta + \cos^2\theta", 2),
        (r"\sin(x)", 0),
        (r"\frac{\sin}{x}", 0),
        ("xyz", 0),
    ],
)
def test_names_of_functions_stand_apart(tex: str, spaces: int) -> None:
    assert markdown(f"So ${tex}$").count("<mspace") == spaces


@pytest.mark.parametrize(
    "tex",
    [
        r"\unknown{x}",
        r"\frac{1}",
        "x^",
        "a & b",
        r"\begin{aligned}a",
        "{" * 500 + "x" + "}" * 500,
        r"\sqrt" * 300 + "x",
        "x+" * 5_000 + "y",
    ],
)
@pytest.mark.parametrize(("before", "after"), [("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")])
def test_formulas_that_cannot_be_read_stay_as_they_are(tex: str, before: str, after: str) -> None:
    html = unescape(markdown(f"{before}{tex}{after}"))
    assert f">{before}{tex}{after}</code>" in html


def test_parts_of_a_page_have_unique_names() -> None:
    text = "|a|\n|-|\n\n|b|\n|-|\n\n```py\n1\n```\n\n    2\n\n$$c$$ $$d$$\n\n"
    text += "e[^1] f[^1]\n\n[^1]: g[^1]"
    html = markdown(text, id_prefix="6-") + markdown(text, id_prefix="8-")
    assert re.findall(r'aria-label="(.*? 6-\d)"', html) == [
        *("Table 6-1", "Table 6-2", "Copy py code 6-1", "Copy code 6-2"),
        *("Formula 6-1", "Formula 6-2"),
    ]
    ids = re.findall(r'id="(.*?)"', html)
    assert ids[:4] == ["fnref-6-1", "fnref-6-1-2", "fn-6-1", "fnref-6-1-3"]
    assert len(ids) == len(set(ids)) == 8
    assert set(re.findall(r'href="#(.*?)"', html)) == set(ids)


def test_code_without_colours_is_shown_as_it_is() -> None:
    for language, code in [
        ("nonsense", "x = 1\n"),
        ("python", "\ufeffx = 1\n"),
        ("python", "x = 1\n" * 2_000),
        ("python", "x" * 600 + " = 1\n"),
        ("c", "\n" * 250 + "1\n"),
    ]:
        html = markdown(f"```{language}\n{code}```")
        assert f'<code class="language-{language}">{code}</code>' in html
    assert '<span class="number">1' in markdown("```python\nx = 1\n```")
    assert '<span class="number">' not in markdown("```python\nx = 1\n"), "it is still written"


def test_bare_links_are_to_what_says_that_it_is_one() -> None:
    html = markdown("https://e.org/a_b_c, ana@e.org, README.md, e.org, ftp://e.org, //e.org")
    assert re.findall(r'href="(.*?)"', html) == ["https://e.org/a_b_c", "mailto:ana@e.org"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("www.example.org", "http://www.example.org"),
        ("See WWW.Example.org/a_b?c=d#e.", "http://WWW.Example.org/a_b?c=d#e"),
        ("(www.e.org, too)", "http://www.e.org"),
        ("**www.e.org**", "http://www.e.org"),
        ("www.e.org/@ana", "http://www.e.org/@ana"),
        ("https://www.e.org", "https://www.e.org"),
        ("[www.e.org](https://e.org)", "https://e.org"),
    ],
)
def test_www_says_that_it_is_a_link(text: str, address: str) -> None:
    html = markdown(text)
    assert re.findall(r'href="(.*?)"', html) == [address]
    assert "www" in plain_text(text).lower()


@pytest.mark.parametrize(
    "text", ["www", "www.", "www.x", "awww.e.org", "ftp://www.e.org", "`www.e.org`", "www. e.org"]
)
def test_what_only_looks_like_www_is_no_link(text: str) -> None:
    assert "href" not in markdown(text)


def test_links_whose_text_is_their_address_are_told_apart() -> None:
    bare = ["https://e.org/a", "<https://e.org>", "www.e.org", "[e.org](https://e.org/)"]
    for text in bare:
        assert 'class="bare"' in markdown(text), text
    for text in ("[org](https://e.org)", "[https://e.org](https://evil.example)", "![a](/b)"):
        assert "bare" not in markdown(text), text


def test_preview_has_no_blanks_that_the_text_has_not() -> None:
    text = "It was ~~**struck**~~. And `c`,\n[l](/u)![i](/v)  \nend[^1].\n\n- [x] done"
    assert plain_text(text) == "It was struck. And c, li end[^1]. done"
