"""Reads the tool calls of messages, and their results, in any of the stored formats."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.utils.text import Truncator

from sessions_app.displayable import encodable, json_text
from sessions_app.models import Message
from sessions_app.tool_columns import tool_entries, tool_name

_PREVIEW_LENGTH = 60  # characters beside the name
_LENGTH = 20_000  # characters of arguments or a result that are shown
_ARGUMENTS = ("args", "arguments", "input", "parameters")
_RESULT = ("content", "output", "result")


@dataclass(frozen=True)
class ToolCall:
    """A tool call, its result, or both; what the message does not have is None."""

    name: str
    arguments: str | None = None
    result: str | None = None
    call_id: str = ""

    @property
    def kind(self) -> str:
        """The label for what it is."""
        return "Tool result" if self.arguments is None else "Tool call"

    @property
    def preview(self) -> str:
        """The start of its arguments, or else of its result, on one line."""
        text = self.result if self.arguments is None else self.arguments
        return Truncator(" ".join((text or "")[: 10 * _PREVIEW_LENGTH].split())).chars(
            _PREVIEW_LENGTH
        )


def read_tool_calls(message: Message) -> list[ToolCall]:
    """Return the message's tool calls with results, then the results of other messages' calls."""
    outputs = _entries(message.tool_outputs)
    calls = []
    for number, call in enumerate(_entries(message.tool_calls)):
        output = _take_result(outputs, call, number)
        result = None if output is None else _entry_text(output, _RESULT)
        arguments = _entry_text(call, _ARGUMENTS)
        calls.append(ToolCall(_name(call), arguments, result, call_id=_call_id(call)))
    for output in filter(None, outputs):
        result = _entry_text(output, _RESULT)
        calls.append(ToolCall(_name(output), result=result, call_id=_call_id(output)))
    return calls


def join_results(messages: Sequence[list[ToolCall]]) -> None:
    """Move tool results to their calls in earlier messages."""
    waiting: dict[str, tuple[list[ToolCall], int]] = {}
    for calls in messages:
        for call in list(calls):
            if call.arguments is None and call.call_id in waiting:
                earlier, index = waiting.pop(call.call_id)
                earlier[index] = replace(earlier[index], result=call.result)
                calls.remove(call)
        for index, call in enumerate(calls):
            if call.call_id and call.result is None:
                waiting[call.call_id] = (calls, index)


def _entries(column: Any) -> list[Any]:
    """Return the column's entries, or the whole column as one entry if it has none."""
    if not column:
        return []
    return [*tool_entries(column)] or [column]


def _take_result(outputs: list[Any], call: Any, number: int) -> Any:
    """Remove and return a call's result, found by its id or, without ids, by its position."""
    call_id = _call_id(call)
    for index, output in enumerate(outputs):
        output_id = _call_id(output)
        if output and (call_id == output_id if call_id and output_id else index == number):
            outputs[index] = None  # the others keep their positions
            return output
    return None


def _call_id(entry: Any) -> str:
    call_id = entry.get("tool_call_id") if isinstance(entry, dict) else None
    return call_id if isinstance(call_id, str) else ""


def _name(entry: Any) -> str:
    return encodable(tool_name(entry)) if isinstance(entry, dict) else ""


def _entry_text(entry: Any, keys: tuple[str, ...]) -> str:
    """Return the entry's value for one of the keys, or the whole entry, as text."""
    named = isinstance(entry, dict) and next((key for key in keys if key in entry), None)
    value = entry[named] if named else entry
    if isinstance(value, str):
        value = _parsed(value)
    text = encodable(value) if isinstance(value, str) else json_text(value)
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}\n… ({len(text):,} characters)"


def _parsed(text: str) -> Any:
    """Parse a text that is a JSON list or object; providers send both strings and JSON."""
    try:
        value = json.loads(text) if text.lstrip()[:1] in {"{", "["} else text
    except (ValueError, RecursionError):
        return text
    return value
