"""Reads the tool columns of messages, in any of the forms in which they are stored."""

from typing import Any


def tool_entries(column: object) -> list[dict[str, Any]]:
    """The entries of `tool_calls` or `tool_outputs`: a list, Automagik's `{"0": …}`, or one entry.

    Anything else is skipped.
    """
    if isinstance(column, dict):
        column = [column] if tool_name(column) else list(column.values())
    if not isinstance(column, list):
        return []
    return [entry for entry in column if isinstance(entry, dict)]


def tool_name(entry: dict[str, Any]) -> str:
    """The name of an entry's tool; empty when there is none."""
    names = (entry.get("tool_name"), entry.get("name"))
    return next((name for name in names if isinstance(name, str) and name), "")


def tool_names(column: object) -> str:
    """The names of the tools in a column, for people; empty when there is none."""
    return ", ".join(filter(None, map(tool_name, tool_entries(column))))
