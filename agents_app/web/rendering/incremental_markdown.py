"""Renders markdown that is still growing, block by block.

A block (paragraph, list, table ...) that no later text can change is rendered once. Only the blocks
after it are rendered again when text is appended, and only the part of their HTML that differs is
returned.

The text is split at blank lines: the parser's rules for top-level blocks never look back, and only
lists, footnotes, indented code and open fences continue after a blank line. A parser rule that
does otherwise, such as one of a plugin, needs a case in `_finished_blocks`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agents_app.web.rendering.footnotes import Footnotes, take_footnotes
from agents_app.web.rendering.long_text import MAX_LENGTH, render_rest, split_long
from agents_app.web.rendering.markdown import (
    annotate_tokens,
    markdown_parser,
    render,
    render_notes,
    render_parsed,
)
from agents_app.web.rendering.render_state import RenderState
from agents_app.web.rendering.safe_html import sanitised
from sessions_app.displayable import encodable

if TYPE_CHECKING:
    from markdown_it.token import Token

_CONTINUED_AFTER_BLANK_LINE = {"bullet_list_open", "ordered_list_open", "code_block"}
_CONTINUED_AFTER_BLANK_LINE |= {"footnote_reference_open"}
# An incomplete line that may become part of the list or the indented code above it.
_CONTINUATION = re.compile(r"$|[ \t]|[-+*](?:[ \t]|$)|[0-9]{1,9}(?:$|[.)](?:[ \t]|$))")
# A line that can only be a paragraph, and has no characters that could be markup.
_PLAIN_LINE = re.compile(r"""[^\W\d_][\w .,:;!?'"()/-]*""")
_ADDRESS = re.compile(r"://|www\.", re.IGNORECASE)  # those of e-mail have other characters


@dataclass(frozen=True, slots=True)
class Delta:
    """How the HTML of a growing text changes.

    A page has finished HTML, which it only appends to, and open HTML, which it replaces. It applies
    a delta in this order:

    1. if `reset`, clear both;
    2. `open = open.slice(0, keep) + html`;
    3. `finished += open.slice(0, finish)`, `open = open.slice(finish)`.

    `keep` and `finish` count UTF-16 code units, as JavaScript's strings do. Finished HTML always
    ends at the end of a top-level block.
    """

    keep: int
    html: str
    finish: int = 0
    reset: bool = False


class IncrementalMarkdown:
    """Renders a text that is appended to piece by piece.

    After each delta, the finished and the open HTML together are what `markdown()` returns for the
    whole text so far, with the same `id_prefix`. Lone surrogates, which `markdown()` refuses, are
    escaped.
    """

    def __init__(self, *, id_prefix: str = "") -> None:
        self._id_prefix = id_prefix
        self._pieces = [""]
        self._length = 0
        self._start()

    def _start(self) -> None:
        # What the open blocks need to know about the finished ones: the link definitions, the
        # footnotes, headings and numbers, which link labels had no definition, and which labels
        # of footnotes had one.
        self._definitions: dict[str, dict[str, Any]] = {}
        self._footnotes: Footnotes = {}
        self._state = RenderState(self._id_prefix)
        self._undefined: set[str] = set()
        self._looked_up: dict[str, bool] = {}
        # The open blocks.
        self._text = ""
        self._html = ""
        self._inlines: dict[str, list[Token]] = {}

    @property
    def text(self) -> str:
        """Everything that was appended."""
        return "".join(self._pieces)

    @property
    def open_length(self) -> int:
        """How many characters of the text the next call of `append` renders again."""
        return len(self._text)

    def append(self, piece: str) -> Delta:
        """Add to the text. The cost grows with the open blocks, not with the whole text."""
        piece = encodable(piece)
        self._length += len(piece)
        if self._length > MAX_LENGTH:
            return self._append_long(piece)
        # A CR that ended the last piece has already ended its line.
        new = piece.removeprefix("\n") if self._pieces[-1].endswith("\r") else piece
        self._text += _normalized(new)
        if piece:
            self._pieces.append(piece)
        if self._is_plain():
            # Most text is like this, and parsing is most of the work.
            return self._delta("", sanitised(f'<p dir="auto">{self._text.rstrip(" ")}</p>\n'))
        return self._append_parsed()

    def _is_plain(self) -> bool:
        """Whether the open text is one line without markup, and nothing comes after it."""
        text = self._text
        is_plain = _PLAIN_LINE.fullmatch(text) and "_" not in text and not _ADDRESS.search(text)
        return bool(is_plain) and not self._state.footnotes

    def _append_long(self, piece: str) -> Delta:
        """Continue text that is too long to be parsed as a whole: its rest grows."""
        is_first = self._length - len(piece) <= MAX_LENGTH
        self._pieces.append(piece)
        if not is_first:
            self._text += piece
            return self._delta("", render_rest(self._text, self._state.copy()))
        self._start()
        parsed, self._text = split_long(self.text)
        finished = render_parsed(parsed, self._state)
        self._html = render_rest(self._text, self._state.copy())
        html = finished + self._html
        return Delta(keep=0, html=html, finish=_utf16_length(finished), reset=True)

    def _append_parsed(self) -> Delta:
        parsed = self._parse_blocks()
        reset = self._changes_finished(parsed)
        if reset:
            self._start()
            self._text = _normalized("".join(self._pieces))
            parsed = self._parse_blocks()

        lines = self._text.split("\n")
        line, index = _finished_blocks(parsed.tokens, lines)
        finished, open_ = parsed.tokens[:index], parsed.tokens[index:]
        inlines = self._parse_inlines(finished, parsed)
        used, looked_up = set(parsed.links.used), set(parsed.footnotes.used)
        self._inlines = inlines | self._parse_inlines(open_, parsed)
        open_labels = {
            label
            for label in parsed.links.keys() - self._definitions.keys()
            if parsed.links[label]["map"][0] >= line
        }
        if open_labels.isdisjoint(used):
            self._undefined |= used - parsed.links.keys()
            self._looked_up |= {label: label in parsed.footnotes for label in looked_up}
            self._definitions = {
                label: parsed.links[label] for label in parsed.links.keys() - open_labels
            }
            self._text = "\n".join(lines[line:])
        else:
            finished, open_ = [], parsed.tokens  # these definitions can still change
        return self._render(finished, open_, reset=reset)

    def _render(
        self, finished: "Sequence[Token]", open_: "Sequence[Token]", *, reset: bool
    ) -> Delta:
        finished, footnotes = take_footnotes(finished)
        self._footnotes = footnotes | self._footnotes
        finished_html = render(finished, self._state) if finished else ""
        open_, open_footnotes = take_footnotes(open_)
        state = self._state.copy()
        open_html = render(open_, state)
        open_html += render_notes(open_footnotes | self._footnotes, state)
        return self._delta(finished_html, open_html, reset=reset)

    def _changes_finished(self, parsed: "_Blocks") -> bool:
        """Whether a definition has come or gone that finished blocks refer to."""
        return not self._undefined.isdisjoint(parsed.links) or any(
            (label in parsed.footnotes) != was_defined
            for label, was_defined in self._looked_up.items()
        )

    def _parse_blocks(self) -> "_Blocks":
        blocks = _Blocks(
            [],
            _Definitions(self._definitions),
            _Definitions({f":{label}": -1 for label in self._footnotes}),
        )
        parser = markdown_parser()
        parser.block.parse(self._text, parser, blocks.env, blocks.tokens)
        annotate_tokens(blocks.tokens)
        return blocks

    def _parse_inlines(
        self, tokens: "Sequence[Token]", parsed: "_Blocks"
    ) -> "dict[str, list[Token]]":
        """Parse the text in the blocks; return what the next call can use again."""
        inlines = {}
        for token in tokens:
            if token.type == "inline":
                text = token.content
                looked_up = parsed.looked_up
                token.children = self._inlines.get(text)
                if token.children is None:
                    inline = markdown_parser().parseInline(text, parsed.env)[0]
                    token.children = inline.children or []
                if parsed.looked_up == looked_up:  # else it depends on the definitions
                    inlines[text] = token.children
        return inlines

    def _delta(self, finished: str, open_html: str, *, reset: bool = False) -> Delta:
        html = finished + open_html
        same = _common_prefix_length(self._html, html)
        self._html = open_html
        return Delta(
            keep=_utf16_length(html[:same]),
            html=html[same:],
            finish=_utf16_length(finished),
            reset=reset,
        )


class _Definitions(dict[str, Any]):
    """Definitions by label, which record every label that is looked up."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        super().__init__(definitions)
        self.used: list[str] = []

    def get(self, label: str, default: Any = None) -> Any:
        self.used.append(label)
        return super().get(label, default)


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Parsed blocks, and the definitions of links and of footnotes in and before them."""

    tokens: "list[Token]"
    links: _Definitions
    footnotes: _Definitions

    @property
    def env(self) -> dict[str, Any]:
        """What the parser's rules share."""
        return {"references": self.links, "footnotes": {"refs": self.footnotes}}

    @property
    def looked_up(self) -> int:
        return len(self.links.used) + len(self.footnotes.used)


def _finished_blocks(tokens: "Sequence[Token]", lines: Sequence[str]) -> tuple[int, int]:
    """The number of lines, and of their tokens, that no text after the last line can change."""
    last = len(lines) - 1  # this line can still get longer
    blocks = [
        (token.map[0], index)
        for index, token in enumerate(tokens)
        if token.level == 0 and token.map
    ]
    starts = blocks if lines[last].strip(" \t") else [*blocks, (last, len(tokens))]
    for number in range(len(starts) - 1, -1, -1):
        line, index = starts[number]
        if line == 0 or lines[line - 1].strip(" \t"):
            continue
        if number == 0:
            return line, index
        before = tokens[blocks[number - 1][1]]
        if before.type in _CONTINUED_AFTER_BLANK_LINE:
            if line < last or not _CONTINUATION.match(lines[line]):
                return line, index
        elif before.map and before.map[1] < line:  # otherwise it is an open fence
            return line, index
    return 0, 0


def _normalized(text: str) -> str:
    """Do what the parser does first when it parses a whole text."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")


def _common_prefix_length(one: str, other: str) -> int:
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
