"""A model's markdown as safe HTML, or as plain text.

A model's text is untrusted. It is converted to HTML here only: raw HTML in it is shown as text,
and the parser's output is sanitised with a short list of allowed elements.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from django.utils.html import escape
from django.utils.safestring import SafeString

from agents_app.web.rendering.bare_links import add_bare_links
from agents_app.web.rendering.code_blocks import render_code
from agents_app.web.rendering.footnotes import (
    Footnotes,
    add_footnotes,
    render_footnotes,
    take_footnotes,
)
from agents_app.web.rendering.formulas import add_formulas
from agents_app.web.rendering.long_text import render_rest, split_long
from agents_app.web.rendering.render_state import RenderState, token_rule
from agents_app.web.rendering.safe_html import sanitised

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

# Each block gets its own text direction: languages can be mixed.
_BLOCKS = {"paragraph_open", "heading_open", "blockquote_open", "th_open", "td_open"}
_BLOCKS |= {"bullet_list_open", "ordered_list_open"}
_TASK = re.compile(r"\[([ xX])\][ \n]+(?=\S)")


def markdown(text: str, *, id_prefix: str = "") -> SafeString:
    """Render markdown as safe HTML.

    `id_prefix` must differ between the messages of a page: their ids and the names of their
    tables and buttons begin with it.
    """
    parsed, rest = split_long(text)
    state = RenderState(id_prefix)
    return render_parsed(parsed, state) + render_rest(rest, state)


def render_parsed(text: str, state: RenderState) -> SafeString:
    """Parse text that is not too long, and render it as sanitised HTML."""
    tokens, footnotes = take_footnotes(markdown_parser().parse(text, {"references": {}}))
    return render(tokens, state) + render_notes(footnotes, state)


def render(tokens: "Sequence[Token]", state: RenderState) -> SafeString:
    """Render the parser's tokens as sanitised HTML, and count what is in them."""
    parser = markdown_parser()
    return sanitised(parser.renderer.render(tokens, parser.options, {"render_state": state}))


def render_notes(footnotes: Footnotes, state: RenderState) -> SafeString:
    """Render the footnotes that the text before them refers to as sanitised HTML."""
    parser = markdown_parser()
    renderer: Any = parser.renderer
    return sanitised(render_footnotes(renderer, footnotes, parser.options, state))


# Text without any of it need not be parsed, which takes half a millisecond: lists show fifty texts.
_MARKUP = re.compile(r"[*_`~#\[\]<>|\\$&!=+-]|^\s*\d+[.)]", re.MULTILINE)


def plain_text(text: str) -> str:
    """The text of markdown in one line, without its markup."""
    if not _MARKUP.search(text):
        return " ".join(text.split())
    blocks = []
    for token in markdown_parser().parse(text):
        # The text of a paragraph is in its children, that of a code block in the token itself.
        parts = [
            " " if part.type in {"softbreak", "hardbreak"} else part.content
            for part in token.children or ()
        ]
        blocks.append("".join(parts or [token.content]))
    return " ".join(" ".join(blocks).split())


@cache
def markdown_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # Models write line breaks without the two spaces that markdown asks for.
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True})
    parser.enable(["table", "strikethrough"])
    add_bare_links(parser)
    add_formulas(parser)
    add_footnotes(parser)
    parser.core.ruler.after("block", "annotate_tokens", lambda state: annotate_tokens(state.tokens))
    parser.add_render_rule("fence", token_rule(render_code))
    parser.add_render_rule("code_block", token_rule(render_code))
    parser.add_render_rule("image", _link_to_image)
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("heading_open", token_rule(_heading_open))
    parser.add_render_rule("heading_close", token_rule(_heading_close))
    parser.add_render_rule("table_open", token_rule(_table_open))
    parser.add_render_rule("table_close", lambda *_: "</table>\n</div>\n")
    parser.add_render_rule("task_open", token_rule(_task_open))
    parser.add_render_rule("task_close", lambda *_: "</label>")
    return parser


def annotate_tokens(tokens: "list[Token]") -> None:
    """Prepare the parser's blocks, before the text in them is parsed.

    They get a direction, table columns are aligned by class, not by style, and the boxes of
    tasks become tokens.
    """
    for index in range(len(tokens) - 1, -1, -1):
        token = tokens[index]
        if token.type in _BLOCKS:
            token.attrSet("dir", "auto")
        style = str(token.attrs.pop("style", ""))
        if style.startswith("text-align:"):
            token.attrSet("class", style.removeprefix("text-align:"))
        if token.type == "list_item_open" and (task := _TASK.match(_first_text(tokens, index))):
            _make_task(tokens, index, task)


def _first_text(tokens: "Sequence[Token]", item: int) -> str:
    """What a list item begins with, if that is a paragraph."""
    is_text = len(tokens) > item + 2 and tokens[item + 1].type == "paragraph_open"
    return tokens[item + 2].content if is_text else ""


def _make_task(tokens: "list[Token]", item: int, task: re.Match[str]) -> None:
    from markdown_it.token import Token

    tokens[item].attrSet("class", "task")
    text = tokens[item + 2]
    text.content = text.content[task.end() :]
    box = Token("task_open", "label", 1, meta={"done": task[1] != " "})
    tokens[item + 2 : item + 3] = [box, text, Token("task_close", "label", -1)]
    for added in (box, tokens[item + 4]):
        added.level = text.level


def _task_open(token: "Token", state: RenderState) -> str:
    checked = " checked" if token.meta["done"] else ""
    return f'<label><input type="checkbox" disabled{checked}> '


def _heading_open(token: "Token", state: RenderState) -> str:
    state.enter_heading(int(token.tag[1]))
    return f'<{state.heading_tag} dir="auto">'


def _heading_close(token: "Token", state: RenderState) -> str:
    return f"</{state.heading_tag}>\n"


def _table_open(token: "Token", state: RenderState) -> str:
    number = state.next_number("table")
    attributes = f'class="table" role="region" tabindex="0" aria-label="Table {number}"'
    return f"<div {attributes}>\n<table>\n"


def _link_open(
    renderer: "RendererHTML",
    tokens: "Sequence[Token]",
    index: int,
    options: "OptionsDict",
    env: dict[str, Any],
) -> str:
    link, text = tokens[index], tokens[index + 1].content
    link.attrSet("target", "_blank")
    if _host_and_path(text) == _host_and_path(str(link.attrs["href"])) or link.info == "auto":
        link.attrSet("class", "bare")  # on paper, its address need not be repeated
    return renderer.renderToken(tokens, index, options, env)


def _host_and_path(address: str) -> str:
    return address.removeprefix("https://").removeprefix("http://").removesuffix("/")


def _link_to_image(
    renderer: "RendererHTML",
    tokens: "Sequence[Token]",
    index: int,
    options: "OptionsDict",
    env: dict[str, Any],
) -> str:
    """Render a link: loading the image would tell its host who reads the answer, and when."""
    image = tokens[index]
    text = renderer.renderInlineAsText(image.children, options, env) or "image"
    return f'<a href="{escape(image.attrs["src"])}" target="_blank">{escape(text)}</a>'
