"""Text and JSON of any origin, in a form that can be displayed.

Rows written by other programs may contain what sessions_app.storable rejects, and displaying such
a row must not fail.
"""

import json
from typing import Any


def json_text(value: object) -> str:
    """A stored JSON value, indented for display. Never raises."""
    try:
        return encodable(json.dumps(value, indent=2, ensure_ascii=False))
    except (RecursionError, ValueError):  # extreme nesting or numbers
        return "(too deep or too long to be shown)"


def encodable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot encode, escaped."""
    return text.encode(errors="backslashreplace").decode()


def encodable_json(value: Any) -> Any:
    """A JSON value with `encodable` applied to all strings in it, keys included."""
    match value:
        case str():
            return encodable(value)
        case list():
            return [encodable_json(item) for item in value]
        case dict():
            return {encodable(key): encodable_json(item) for key, item in value.items()}
    return value


def printable(text: str) -> str:
    """The text on one line, with control and invisible characters escaped, for a terminal."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
