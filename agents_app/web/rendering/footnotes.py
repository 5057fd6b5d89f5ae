"""Footnotes: `[^label]` in the text, and `[^label]: note` anywhere, which is shown at the end."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agents_app.web.rendering.render_state import RenderState, token_rule

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

_REFERENCE = re.compile(r"\[\^([^\s\]]{1,100})\]")

Footnotes = dict[str, "list[Token]"]  # the content of each, by its label


def add_footnotes(parser: "MarkdownIt") -> None:
    """Teach the parser to read footnotes and to render references to them.

    The plugin is used for definitions only. For references, it would change tokens that it has
    already parsed, and its numbers need all of the text.
    """
    from mdit_py_plugins.footnote.index import footnote_def

    may_interrupt = ["paragraph", "reference"]
    parser.block.ruler.before("reference", "footnote_def", footnote_def, {"alt": may_interrupt})
    parser.inline.ruler.after("image", "footnote_ref", _reference)
    parser.add_render_rule("footnote_ref", token_rule(_render_reference))


def take_footnotes(tokens: "Sequence[Token]") -> "tuple[list[Token], Footnotes]":
    """The tokens without the footnotes among them, and those; the first of a label counts."""
    outside: list[Token] = []
    footnotes: Footnotes = {}
    collected = [outside]
    for token in tokens:
        if token.type == "footnote_reference_open":
            content: list[Token] = []
            footnotes.setdefault(token.meta["label"], content)
            collected.append(content)
        elif token.type == "footnote_reference_close":
            collected.pop()
        else:
            collected[-1].append(token)
    return outside, footnotes


def _reference(state: "StateInline", silent: bool) -> bool:
    match = _REFERENCE.match(state.src, state.pos, state.posMax)
    if not match or state.linkLevel:  # a link cannot hold another one
        return False
    defined = state.env.get("footnotes", {}).get("refs", {})
    if defined.get(f":{match[1]}") is None:
        return False
    if not silent:
        state.push("footnote_ref", "", 0).meta = {"label": match[1]}
    state.pos = match.end()
    return True


def _render_reference(token: "Token", state: RenderState) -> str:
    number, count = state.refer_to_footnote(token.meta["label"])
    target, own = _note_id(state, number), _reference_id(state, number, count)
    return f'<sup><a href="#{target}" id="{own}" aria-label="Footnote {number}">{number}</a></sup>'


def render_footnotes(
    renderer: "RendererHTML",
    footnotes: "Mapping[str, Sequence[Token]]",
    options: "OptionsDict",
    state: RenderState,
) -> str:
    """The footnotes that were referred to, in the order of the references."""
    contents: list[str] = []
    # A footnote can be the first to refer to another one.
    while len(contents) < len(state.footnotes):
        label = list(state.footnotes)[len(contents)]
        contents.append(renderer.render(footnotes[label], options, {"render_state": state}))
    if not contents:
        return ""
    items = "".join(
        f'<li id="{_note_id(state, number)}">{_with_links_back(note, state, number)}</li>\n'
        for number, note in enumerate(contents, 1)
    )
    attributes = 'class="footnotes" role="group" aria-label="Footnotes"'
    return f'<div {attributes}>\n<ol dir="auto">\n{items}</ol>\n</div>\n'


def _with_links_back(content: str, state: RenderState, number: int) -> str:
    count = list(state.footnotes.values())[number - 1]
    links = "".join(
        f' <a href="#{_reference_id(state, number, which)}" class="back"'
        f' aria-label="Back to reference {number}{f"-{which}" if which > 1 else ""}">↩\ufe0e</a>'
        for which in range(1, count + 1)
    )
    end = "</p>\n"
    if content.endswith(end):
        return content.removesuffix(end) + links + end
    return f"{content}<p>{links}</p>\n"


def _note_id(state: RenderState, number: int) -> str:
    return f"fn-{state.id_prefix}{number}"


def _reference_id(state: RenderState, number: int, count: int) -> str:
    return f"fnref-{state.id_prefix}{number}{f'-{count}' if count > 1 else ''}"
