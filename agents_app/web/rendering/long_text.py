"""Text that is too long to parse as a whole: its beginning is, its rest is only escaped.

Code blocks keep their frames in the rest: what makes an answer that long is mostly code, and is to
be copied whole.
"""

import re
from typing import TYPE_CHECKING

from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents_app.web.rendering.code_blocks import render_code
from agents_app.web.rendering.render_state import RenderState
from agents_app.web.rendering.safe_html import sanitised

if TYPE_CHECKING:
    from markdown_it.token import Token

MAX_LENGTH = 50_000  # characters, which take about a second to parse
_BLANK_LINE = re.compile(r"\r?\n[ \t]*\r?\n")
# An unclosed one extends to the end of the text.
_CODE_BLOCK = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^`\r\n]*)\r?\n"
    r"(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t\r]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)


def split_long(text: str) -> tuple[str, str]:
    """The part to parse, which ends where a block does, and the rest.

    Only the rest changes when text is appended.
    """
    if len(text) <= MAX_LENGTH:
        return text, ""
    first = text[:MAX_LENGTH]
    cut = 0
    for block in _CODE_BLOCK.finditer(first):
        cut = block.start() if block.end() == len(first) else block.end()
    if not _CODE_BLOCK.match(first, cut):
        for blank_line in _BLANK_LINE.finditer(first, cut):
            cut = blank_line.end()
    return text[:cut], text[cut:]


def render_rest(text: str, state: RenderState) -> SafeString:
    """Render what was not parsed: paragraphs as they were written, and code blocks."""
    html = SafeString()
    end = 0
    for block in _CODE_BLOCK.finditer(text):
        html += _plain(text[end : block.start()])
        html += sanitised(render_code(_code(block), state))
        end = block.end()
    return html + _plain(text[end:])


def _plain(text: str) -> SafeString:
    stripped = text.strip("\r\n")
    return format_html('<p class="plain" dir="auto">{}</p>', stripped) if stripped else SafeString()


def _code(block: re.Match[str]) -> "Token":
    """The block as the parser's token. Without its lines, it is not highlighted."""
    from markdown_it.token import Token

    return Token("fence", "code", 0, info=block["info"], content=block["code"])
