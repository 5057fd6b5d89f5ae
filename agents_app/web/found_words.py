"""Marks the words of a search in the message that it has found."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape

from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe

from agents_app.web.transcript import TranscriptPage
from sessions_app.search import messages as search
from sessions_app.search.excerpts import matching

# The HTML is our own, or the sanitiser's: attributes are in double quotes. What is not text of the
# message, or could not contain a mark, is matched as a whole.
_PART = re.compile(
    r"""(?P<markup><(?P<tag>math|button)\b.*?</(?P=tag)>|<[^>"]*(?:"[^"]*"[^>"]*)*>)"""
    r"|&[#\w]+;|[^<]",
    re.DOTALL,
)
# Characters of HTML; a longer message has no marks, since every character has to be examined.
_LONGEST = 300_000


@dataclass(frozen=True)
class FoundWords:
    """The message that a search has found: its position, and its HTML with marked words.

    The first mark has the message's id, so that the browser scrolls to it.
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
    if len(html) > _LONGEST:
        return html
    parts = list(_PART.finditer(html))
    characters = [part for part in parts if not part["markup"]]
    text = "".join(unescape(part[0]) for part in characters)
    if len(text) != len(characters) or "".join(part[0] for part in parts) != html:
        return html  # not the expected form: better without marks than damaged
    found = {at for match in pattern.finditer(text) for at in range(*match.span())}
    return mark_safe("".join(_with_marks(parts, found)))  # noqa: S308 - only marks are added


def _with_marks(parts: list[re.Match[str]], found: set[int]) -> Iterator[str]:
    at = 0
    is_open = False
    for part in parts:
        is_found = not part["markup"] and at in found
        if is_found != is_open:
            yield "<mark>" if is_found else "</mark>"
            is_open = is_found
        yield part[0]
        at += not part["markup"]
    if is_open:
        yield "</mark>"
