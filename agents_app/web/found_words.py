"""The words of a search, marked in the message that it has found."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from itertools import pairwise

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from agents_app.web.transcript import TranscriptPage
from sessions_app.search import messages as search
from sessions_app.search.excerpts import matching

# The HTML is our own, or the sanitiser's: attributes are in double quotes. What has no text of
# the message, or could not hold a mark, is taken as a whole.
_PART = re.compile(
    r"""(?P<markup><(?P<tag>math|button)\b.*?</(?P=tag)>|<[^>"]*(?:"[^"]*"[^>"]*)*>)"""
    r"|(?P<entity>&[#\w]+;)|[^<&]+|&",
    re.DOTALL,
)


@dataclass(frozen=True)
class FoundWords:
    """The message that a search has found: its position, and its HTML with marked words.

    The first of them has the message's id, so that the browser opens the page at them.
    """

    position: int
    html: SafeString


def find_words(transcript: TranscriptPage, position: int | None, query: str) -> FoundWords | None:
    """Mark the words in the message at the position; None if it is not shown, or has none."""
    terms = search.parse(query)
    if position is None or not terms:
        return None
    html = marked(_html_at(transcript, position), matching(terms))
    if "<mark>" not in html:
        return None
    with_id = html.replace("<mark>", f'<mark id="m{position}">', 1)
    return FoundWords(position, mark_safe(with_id))  # noqa: S308 - only an id is added


def _html_at(transcript: TranscriptPage, position: int) -> SafeString:
    """What the user or the agent says in the message at the position."""
    for turn in transcript.turns:
        if turn.question and turn.question.position == position:
            return conditional_escape(turn.question.text_content)
        for entry in turn.entries:
            if entry.message.position == position and entry.has_text:
                return entry.html
    return SafeString()


def marked(html: SafeString, pattern: re.Pattern[str]) -> SafeString:
    """Put each match of the pattern in the text of the HTML into a `mark`, or into several.

    The HTML itself stays as it is, and what has been escaped stays escaped.
    """
    parts = list(_PART.finditer(html))
    if "".join(part[0] for part in parts) != html:
        return html  # not of the form that is expected: better without marks than damaged
    text = "".join(map(_text_of, parts))
    edges = [edge for match in pattern.finditer(text) for edge in match.span()]
    return mark_safe("".join(_with_marks(parts, edges)))  # noqa: S308 - only marks are added


def _text_of(part: re.Match[str]) -> str:
    if part["markup"]:
        return ""
    return unescape(part[0]) if part["entity"] else part[0]


def _with_marks(parts: list[re.Match[str]], edges: list[int]) -> Iterator[str]:
    """The HTML, with marks. `edges` are where matches begin and end in the text, in turn."""
    is_open = False
    for piece, is_found in _pieces(parts, edges):
        if is_found != is_open:
            yield "<mark>" if is_found else "</mark>"
            is_open = is_found
        yield piece
    if is_open:
        yield "</mark>"


def _pieces(parts: list[re.Match[str]], edges: list[int]) -> Iterator[tuple[str, bool]]:
    """The HTML in pieces that are within a match, or outside of all."""
    at = 0
    for part in parts:
        end = at + len(_text_of(part))
        passed = bisect_right(edges, at)  # an odd number within a match
        if part["markup"] or part["entity"]:
            yield part[0], passed % 2 == 1 and not part["markup"]
        else:
            cuts = [at, *edges[passed : bisect_left(edges, end)], end]
            for number, (start, stop) in enumerate(pairwise(cuts), start=passed):
                if start < stop:
                    yield part[0][start - at : stop - at], number % 2 == 1
        at = end
