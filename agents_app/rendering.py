"""A model's markdown as HTML.

A model may write anything, and so may whoever feeds it. What it wrote becomes HTML here and
nowhere else: raw HTML in markdown is shown as text, and whatever the parser makes passes a
short list of allowed elements.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

_TAGS = {"a", "blockquote", "br", "code", "div", "em", "hr", "p", "pre", "s", "strong"}
_TAGS |= {"h3", "h4", "h5", "h6", "ol", "ul", "li"}
_TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
# A page allows no style attributes, and what is wider than the page must be reachable by
# keyboard to be scrolled.
_ATTRIBUTES = {
    **{tag: {"dir"} for tag in ("p", "blockquote", "ul", "h3", "h4", "h5", "h6")},
    "a": {"href", "title"},
    "code": {"class"},
    "div": {"class", "role", "tabindex", "aria-label"},
    "ol": {"dir", "start"},
    "td": {"class", "dir"},
    "th": {"class", "dir"},
}
_CLASSES = re.compile(r"language-[\w+#.-]{1,40}|table|left|center|right")
# Each finds its own direction, whatever language its words are in.
_BLOCKS = {"paragraph_open", "heading_open", "blockquote_open", "th_open", "td_open"}
_BLOCKS |= {"bullet_list_open", "ordered_list_open"}
_TABLE = '<div class="table" role="region" tabindex="0" aria-label="Table">\n<table>\n'
_LONGEST = 50_000  # characters: about a second
_FIRST_HEADING = 3  # a message is a section with a heading of level 2


def markdown(text: str) -> SafeString:
    """What a model wrote, as HTML that is safe to show.

    What is too long to be parsed while somebody waits is shown as it is.
    """
    import nh3

    if len(text) > _LONGEST:
        return format_html('<p class="plain" dir="auto">{}</p>', text)
    parser = _parser()
    tokens = parser.parse(text)
    _fit_into_page(tokens)
    clean = nh3.clean(
        parser.renderer.render(tokens, parser.options, {}),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_allowed_value,
        set_tag_attribute_values={"a": {"target": "_blank"}, "pre": {"tabindex": "0"}},
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto"},
    )
    return mark_safe(clean)  # noqa: S308 - the one place, right behind the sanitiser


def words(text: str) -> str:
    """The words of a markdown text in one line, without its marks."""
    said = []
    for token in _parser().parse(text):
        # A paragraph's parts are in its children, a block of code has its own text.
        parts = [part.content or " " for part in token.children or ()] or [token.content]
        said.append("".join(parts))
    return " ".join(" ".join(said).split())


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # A line break is meant, as in a poem: models do not write two blanks before it.
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True})
    parser.enable(["table", "strikethrough"])
    parser.add_render_rule("image", _link_to_image)
    parser.add_render_rule("table_open", lambda *_: _TABLE)
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    return parser


def _link_to_image(
    renderer: "RendererHTML",
    tokens: "Sequence[Token]",
    index: int,
    options: "OptionsDict",
    env: dict[str, Any],
) -> str:
    """Loading an image would tell its host who reads the answer, and when."""
    image = tokens[index]
    text = renderer.renderInlineAsText(image.children, options, env) or "image"
    return f'<a href="{escape(image.attrs["src"])}">{escape(text)}</a>'


def _fit_into_page(tokens: "Sequence[Token]") -> None:
    """Headings continue the page's outline; columns are aligned by classes, not styles."""
    headings = [token for token in tokens if token.type in {"heading_open", "heading_close"}]
    levels = sorted({token.tag for token in headings})
    for token in headings:
        token.tag = f"h{min(_FIRST_HEADING + levels.index(token.tag), 6)}"
    for token in tokens:
        if token.type in _BLOCKS:
            token.attrSet("dir", "auto")
        style = str(token.attrs.pop("style", ""))
        if style.startswith("text-align:"):
            token.attrSet("class", style.removeprefix("text-align:"))


def _allowed_value(_tag: str, attribute: str, value: str) -> str | None:
    if attribute == "class" and not _CLASSES.fullmatch(value):
        return None
    return value
