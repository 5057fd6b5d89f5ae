"""Checks what users send: the text of a message, and the name of a chat.

Also the name of a chat that nobody has named, which is made of its first message.
"""

import re
import unicodedata

from agents_app.chat_errors import ChatError, InvalidMessage, InvalidName
from sessions_app.storable import UnstorableText, check_storable

MESSAGE_LENGTH = 1_000_000
NAME_LENGTH = 200
_OPENING_LENGTH = 60  # of a name that is derived from a message
UNNAMED = "Untitled chat"
# Letters and symbols that show nothing.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
# Markdown's marks of headings, quotations and lists, of emphasis and code, and of links.
_LINE_MARK = re.compile(r"^[ \t]{0,3}(?:(?:#{1,6}|>|[-*+])[ \t]+|(?:```|~~~)[^\n]*)", re.MULTILINE)
_PAIRED_MARK = re.compile(r"(\*\*|~~|`+)(?=\S)([^\n]+?)(?<=\S)\1")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\s]*\)")
_JOINERS = "\u200c\u200d"  # parts of words and of emoji


def check_message(text: str) -> None:
    """Raise InvalidMessage unless the text can be a message."""
    _check_text(
        text,
        InvalidMessage,
        if_blank="Write a message first.",
        longest=MESSAGE_LENGTH,
        if_longer=f"A message has at most {MESSAGE_LENGTH:,} characters; this one has {len(text)}.",
    )


def check_name(name: str) -> None:
    """Raise InvalidName unless the text can be the name of a chat."""
    _check_text(
        name,
        InvalidName,
        if_blank="A chat needs a name.",
        longest=NAME_LENGTH,
        if_longer=f"A name has at most {NAME_LENGTH} characters.",
    )


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
    """The text without the most usual marks of Markdown; a name is not rendered."""
    return _PAIRED_MARK.sub(r"\2", _LINK.sub(r"\1", _LINE_MARK.sub("", text)))


def _printable(char: str) -> str:
    """The character as a name may hold it: on one line, without invisible marks."""
    category = unicodedata.category(char)
    if category == "Cf":
        return char if char in _JOINERS else ""
    return " " if category[0] in "CZ" else char


def _check_text(
    text: str, error: type[ChatError], *, if_blank: str, longest: int, if_longer: str
) -> None:
    if not text.strip():
        raise error(if_blank)
    if len(text) > longest:
        raise error(if_longer)
    try:
        check_storable(text)
    except UnstorableText as unstorable:
        raise error(str(unstorable)) from None
