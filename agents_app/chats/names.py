"""The names of chats: the one that people are shown, and the one made from a first message."""

import re
import unicodedata

from sessions_app.models import Session

_OPENING_LENGTH = 60  # of a name that is derived from a message
UNNAMED = "Untitled chat"
# Letters and symbols that are invisible.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
# Markdown for headings, quotations and lists, for emphasis and code, and for links.
_LINE_MARK = re.compile(r"^[ \t]{0,3}(?:(?:#{1,6}|>|[-*+])[ \t]+|(?:```|~~~)[^\n]*)", re.MULTILINE)
_PAIRED_MARK = re.compile(r"(\*\*|~~|`+)(?=\S)([^\n]+?)(?<=\S)\1")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


def display_name(chat_session: Session) -> str:
    """The name to show to people; `opening` is annotated by `with_opening()`."""
    opening = getattr(chat_session, "opening", "")
    return title_from_message(opening) if opening else chat_session.name or UNNAMED


def title_from_message(text: str) -> str:
    """A session's name from the opening words of its first message; never blank."""
    opening = _without_marks(text.lstrip()[: _OPENING_LENGTH * 10])
    words = " ".join("".join(map(_printable, opening)).split())
    if not any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in words):
        return UNNAMED
    if len(words) <= _OPENING_LENGTH:
        return words
    cut = words[:_OPENING_LENGTH]
    return f"{(cut.rpartition(' ')[0] or cut).rstrip('.,;:')}…"


def _without_marks(text: str) -> str:
    """The text without the most common Markdown: a name is not rendered."""
    return _PAIRED_MARK.sub(r"\2", _LINK.sub(r"\1", _LINE_MARK.sub("", text)))


def _printable(char: str) -> str:
    """The character as it may appear in a name: on one line, and not invisible."""
    category = unicodedata.category(char)
    if category == "Cf":
        return char if char in _JOINERS else ""
    return " " if category[0] in "CZ" else char
