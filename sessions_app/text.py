"""Text and JSON at the edges: what every database stores exactly, and how anything is shown.

PostgreSQL refuses NUL characters and lone surrogates (halves of a character), and JSON
numbers that are not finite; SQLite refuses some of them and changes others. They are
refused here, on both, with a text that a form can show. Rows that others have written may
hold them all the same, and showing such a row must not fail.
"""

import json
import math
from typing import Any

# JSON may be nested this deep; SQLite stops at 1000, and Python's own reader near it.
MAX_DEPTH = 200

# From here on Python writes a float with an exponent, and PostgreSQL reads that as a whole
# number of its own choice: 1e23 comes back as 10**23, which is another number.
_EXPONENT_FROM = 1e16

# Python refuses to read whole numbers with more than 4300 digits.
_MAX_BITS = 14_000


class UnstorableText(ValueError):
    """Something that not every database can hold exactly; the text says what."""


def check_storable(text: str) -> None:
    """Raise UnstorableText when not every database can hold the text exactly."""
    if "\0" in text:
        raise UnstorableText("The text holds a NUL character, which cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnstorableText(
            "The text holds half a character (a lone surrogate), which cannot be stored."
        ) from None


def storable_json(value: object, *, depth: int = 0) -> object:
    """A JSON value in the form in which every database gives it back, equal to the one given.

    Large floats become the whole numbers they are, and tuples lists. Raises UnstorableText
    for text that `check_storable` refuses, numbers that are not finite or have thousands of
    digits, keys that are not text, nesting deeper than MAX_DEPTH, and what is not JSON.
    """
    if depth > MAX_DEPTH:
        raise UnstorableText("The data is nested too deeply to be stored.")
    match value:
        case None | bool():
            return value
        case str():
            check_storable(value)
            return value
        case int():
            if value.bit_length() > _MAX_BITS:
                raise UnstorableText("The data holds a number that is too long to be stored.")
            return value
        case float():
            if not math.isfinite(value):
                raise UnstorableText(
                    "The data holds a number that is not finite, which cannot be stored."
                )
            return int(value) if abs(value) >= _EXPONENT_FROM else value
        case list() | tuple():
            return [storable_json(item, depth=depth + 1) for item in value]
        case dict():
            return {
                _storable_key(key): storable_json(item, depth=depth + 1)
                for key, item in value.items()
            }
    raise UnstorableText(f"The data holds a {type(value).__name__}, which is not JSON.")


def _storable_key(key: object) -> str:
    if not isinstance(key, str):
        raise UnstorableText("The data holds a key that is not text, which is not JSON.")
    check_storable(key)
    return key


def json_text(value: object) -> str:
    """A stored JSON value, indented for people. Never raises."""
    try:
        return encodable(json.dumps(value, indent=2, ensure_ascii=False))
    except (RecursionError, ValueError):  # nesting and numbers without end
        return "(too deep or too long to be shown)"


def encodable(text: str) -> str:
    """The text as a page can carry it: lone surrogates, which UTF-8 does not know, are escaped."""
    return text.encode(errors="backslashreplace").decode()


def encodable_json(value: Any) -> Any:
    """A JSON value with every text in it, keys as well, as `encodable` makes it."""
    match value:
        case str():
            return encodable(value)
        case list():
            return [encodable_json(item) for item in value]
        case dict():
            return {encodable(key): encodable_json(item) for key, item in value.items()}
    return value


def printable(text: str) -> str:
    """The text on one line for a terminal: line ends, escapes and invisible marks spelt out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
