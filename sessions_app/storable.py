"""Text and JSON that every database stores exactly.

PostgreSQL rejects NUL characters, lone surrogates (halves of a character) and JSON numbers
that are not finite; SQLite rejects some of them and changes others. The checks here reject all
of them, with messages that a form can show. Rows written by other programs may still contain
them: see sessions_app.displayable.
"""

import math

# How deep JSON may be nested. SQLite's limit is 1000, and that of Python's parser is close to it.
MAX_DEPTH = 200

# From here on Python writes floats with an exponent, and PostgreSQL reads that as an exact
# decimal: 1e23 comes back as 10**23, which is a different number.
_EXPONENT_FROM = 1e16

# Python does not parse integers with more than 4300 digits.
_MAX_BITS = 14_000


class UnstorableText(ValueError):
    """A value that not every database stores exactly; the message says which."""


def check_storable(text: str) -> None:
    """Raise UnstorableText if not every database stores the text exactly."""
    if "\0" in text:
        raise UnstorableText("The text contains a NUL character, which cannot be stored.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UnstorableText(
            "The text contains half a character (a lone surrogate), which cannot be stored."
        ) from None


def is_storable(text: str) -> bool:
    """Whether every database stores the text exactly; no row can contain any other text."""
    try:
        check_storable(text)
    except UnstorableText:
        return False
    return True


def parse_id(text: str, *, largest: int) -> int | None:
    """Parse an integer id; returns None for anything else, or if its column could not hold it."""
    # Python does not parse numbers of thousands of digits.
    is_number = len(text) <= len(str(largest)) and text.isascii() and text.isdigit()
    return int(text) if is_number and int(text) <= largest else None


def storable_json(value: object, *, depth: int = 0) -> object:
    """An equal JSON value that every database returns as it was stored.

    Large floats become integers, and tuples lists. Raises UnstorableText for text that
    `check_storable` rejects, numbers that are not finite or have thousands of digits, keys that
    are not text, nesting deeper than MAX_DEPTH, and values that are not JSON.
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
                raise UnstorableText("The data contains a number that is too long to be stored.")
            return value
        case float():
            if not math.isfinite(value):
                raise UnstorableText(
                    "The data contains a number that is not finite, which cannot be stored."
                )
            return int(value) if abs(value) >= _EXPONENT_FROM else value
        case list() | tuple():
            return [storable_json(item, depth=depth + 1) for item in value]
        case dict():
            return {
                _storable_key(key): storable_json(item, depth=depth + 1)
                for key, item in value.items()
            }
    raise UnstorableText(f"The data contains a {type(value).__name__}, which is not JSON.")


def _storable_key(key: object) -> str:
    if not isinstance(key, str):
        raise UnstorableText("The data contains a key that is not text, which is not JSON.")
    check_storable(key)
    return key
