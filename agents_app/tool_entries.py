"""The tools in a message's columns, in whichever form they were stored."""

from typing import Any


def tool_entries(column: object) -> list[dict[str, Any]]:
    """The entries of `tool_calls` or `tool_outputs`.

    They are a list, Automagik's `{"0": …}`, or a single entry; what is none of them is left
    out.
    """
    if isinstance(column, dict):
        column = [column] if tool_name(column) else list(column.values())
    return (
        [entry for entry in column if isinstance(entry, dict)] if isinstance(column, list) else []
    )


def tool_name(entry: dict[str, Any]) -> str:
    """The name of the tool that an entry is about; empty when it says none."""
    names = (entry.get("tool_name"), entry.get("name"))
    return next((name for name in names if isinstance(name, str) and name), "")
