"""Rows to messages and back, and what is refused."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryImage,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    RetryInfo,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.usage import RequestUsage

from agents_app.conversation import codec
from sessions_app.models import Message
from sessions_app.storable import MAX_DEPTH, UnstorableText, check_storable, storable_json

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

# Every character, including NUL and lone surrogates.
any_text = st.text(st.characters(exclude_categories=()))
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def row(role: str, text: str = "", **values: Any) -> Message:
    return Message(role=role, text_content=text, created_at=NOW, **values)


def kinds(messages: list[ModelMessage]) -> list[list[str]]:
    return [[part.part_kind for part in message.parts] for message in messages]


# --- What is stored ------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "role", "text"),
    [
        (ModelRequest([UserPromptPart("Hi")]), "user", "Hi"),
        (
            ModelRequest([SystemPromptPart("Be kind."), UserPromptPart("Hi")]),
            "user",
            "Hi",
        ),
        (ModelRequest([SystemPromptPart("Be kind.")]), "system", "Be kind."),
        (ModelRequest([ToolReturnPart("add", 4, tool_call_id="a")]), "tool", ""),
        (
            ModelRequest([RetryFeedbackPart("Say more.", retry=RetryInfo(cause="no_output"))]),
            "tool",
            "Say more.",
        ),
        (ModelRequest([], instructions="Be kind."), "tool", ""),
        (
            ModelResponse([ThinkingPart("Hm"), TextPart("Hel"), TextPart("lo")]),
            "assistant",
            "Hello",
        ),
        (ModelResponse([]), "assistant", ""),
        (
            ModelRequest([UserPromptPart(["See", BinaryImage(b"\xff\0", media_type="image/png")])]),
            "user",
            "See",
        ),
    ],
)
def test_role_and_text_have_columns_and_the_message_is_complete(
    message: ModelMessage, role: str, text: str
) -> None:
    [stored] = codec.to_rows([message])
    assert (stored.role, stored.text_content) == (role, text)
    assert codec.to_model_messages([stored]) == [message]


def test_tools_have_columns() -> None:
    rows = codec.to_rows(
        [
            ModelResponse([TextPart("Let me see"), ToolCallPart("add", {"a": 2}, "c1")]),
            ModelRequest([ToolReturnPart("add", {"sum": 4}, tool_call_id="c1")]),
        ]
    )
    assert [row.tool_calls for row in rows] == [
        [{"tool_name": "add", "args": {"a": 2}, "tool_call_id": "c1"}],
        None,
    ]
    assert [row.tool_outputs for row in rows] == [
        None,
        [{"tool_name": "add", "content": {"sum": 4}, "tool_call_id": "c1"}],
    ]


def test_every_field_of_a_response_is_kept() -> None:
    response = ModelResponse(
        [
            ThinkingPart("Hm", signature="s", provider_name="anthropic"),
            TextPart("Yes"),
            ToolCallPart("f", '{"a": 1}', "c"),
        ],
        usage=RequestUsage(input_tokens=3, output_tokens=2, details={"reasoning": 1}),
        model_name="m",
        provider_name="p",
        provider_details={"finish_reason": "stop"},
        finish_reason="tool_call",
        run_id="r",
        conversation_id="c",
        metadata={"assistant_name": "Ana"},
    )
    assert codec.to_model_messages(codec.to_rows([response])) == [response]


def test_a_payload_of_another_version_is_rebuilt_from_the_columns() -> None:
    stored = row("user", "Hi", model_message={"kind": "telegram"})
    assert codec.to_model_messages([stored]) == [codec.user_prompt("Hi", NOW)]


def test_without_the_message_itself_a_turn_with_tools_is_rebuilt_from_the_columns() -> None:
    turn: list[ModelMessage] = [
        ModelRequest([UserPromptPart("2+2?", timestamp=NOW)], timestamp=NOW),
        ModelResponse([TextPart("Let me see"), ToolCallPart("add", {"a": 2}, "c1")], timestamp=NOW),
        ModelRequest([ToolReturnPart("add", 4, tool_call_id="c1", timestamp=NOW)], timestamp=NOW),
        ModelResponse([TextPart("Four")], timestamp=NOW),
    ]
    rows = codec.to_rows(turn)
    for stored in rows:
        stored.model_message, stored.created_at = None, NOW
    assert codec.to_model_messages(rows) == turn


def test_a_payload_is_never_taken_for_the_message() -> None:
    [stored] = codec.to_rows([ModelRequest([UserPromptPart("Something else")])])
    imported = row("user", "Hi", raw_payload={"pydantic_ai": stored.model_message})
    assert codec.to_model_messages([imported]) == [codec.user_prompt("Hi", NOW)]


# --- What was imported ---------------------------------------------------------

CALL = {"args": {"expression": "2+2"}, "tool_name": "calculator", "tool_call_id": "c1"}
OUTPUT = {"content": "4", "tool_name": "calculator", "tool_call_id": "c1"}


def test_an_imported_answer_becomes_calls_outputs_and_text() -> None:
    payload = {"content": "4!", "tool_calls": [CALL], "tool_outputs": [OUTPUT]}
    imported = row(
        "assistant", "4!", tool_calls={"0": CALL}, tool_outputs={"0": OUTPUT}, raw_payload=payload
    )
    assert codec.to_model_messages([imported]) == [
        ModelResponse([ToolCallPart("calculator", {"expression": "2+2"}, "c1")], timestamp=NOW),
        ModelRequest(
            [ToolReturnPart("calculator", "4", tool_call_id="c1", timestamp=NOW)], timestamp=NOW
        ),
        ModelResponse([TextPart("4!")], timestamp=NOW),
    ]


@pytest.mark.parametrize(
    ("calls", "outputs", "expected"),
    [
        (None, None, [["text"]]),
        ({}, {}, [["text"]]),
        ([], [], [["text"]]),
        ("nonsense", 7, [["text"]]),
        ([{"args": {}}, "x", None], [{"content": 1}], [["text"]]),
        ([CALL], None, [["text", "tool-call"]]),
        (CALL, OUTPUT, [["tool-call"], ["tool-return"], ["text"]]),
        (None, [OUTPUT], [["tool-call"], ["tool-return"], ["text"]]),
        (
            [CALL, {"tool_name": "now"}],
            [OUTPUT],
            [["tool-call"], ["tool-return"], ["text", "tool-call"]],
        ),
        (
            [{"tool_name": "calculator"}],
            [{"tool_name": "calculator"}],
            [["tool-call"], ["tool-return"], ["text"]],
        ),
    ],
)
def test_any_shape_of_tools_is_rebuilt_for_a_provider(
    calls: Any, outputs: Any, expected: list[list[str]]
) -> None:
    imported = row("assistant", "So", tool_calls=calls, tool_outputs=outputs)
    messages = codec.to_model_messages([imported])
    assert kinds(messages) == expected
    returned = [part for m in messages for part in m.parts if isinstance(part, ToolReturnPart)]
    called = [part for m in messages for part in m.parts if isinstance(part, ToolCallPart)]
    assert [part.tool_call_id for part in returned] == [
        part.tool_call_id for part in called[: len(returned)]
    ]
    assert codec.to_model_messages([imported]) == messages, "the same at every load"


def test_imported_surrogates_do_not_reach_a_provider() -> None:
    call = {"tool_name": "f", "args": {"\ud800": ["\udfff"]}, "tool_call_id": "c"}
    output = {"tool_name": "f", "content": "\ud83d", "tool_call_id": "c"}
    imported = row("assistant", "So", tool_calls={"0": call}, tool_outputs={"0": output})
    called, returned, _ = codec.to_model_messages([imported])
    assert called.parts[0] == ToolCallPart("f", {"\\ud800": ["\\udfff"]}, "c")
    assert returned.parts[0] == ToolReturnPart("f", "\\ud83d", tool_call_id="c", timestamp=NOW)


def test_other_imported_roles_are_rebuilt() -> None:
    rows = [row("system", "Be kind."), row("user", "Hi"), row("tool", "4", tool_outputs=[OUTPUT])]
    assert kinds(codec.to_model_messages(rows)) == [
        ["system-prompt"],
        ["user-prompt"],
        ["tool-return"],
    ]
    assert codec.to_model_messages([row("tool", "Nothing was returned.")]) == []


# --- What is refused -----------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "\ud83d", "\udfff!"])
def test_text_that_no_database_holds_exactly_is_refused(text: str) -> None:
    with pytest.raises(UnstorableText, match="cannot be stored"):
        check_storable(text)
    for message in (
        ModelRequest([UserPromptPart(text)]),
        ModelResponse([TextPart("fine"), ToolCallPart("f", {"a": [{"b": text}]})]),
        ModelRequest([ToolReturnPart("f", {text: 1}, tool_call_id="c")]),
    ):
        with pytest.raises(UnstorableText):
            codec.to_rows([message])


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), -float("inf"), 10**5000],
    ids=["nan", "inf", "-inf", "long"],
)
def test_numbers_that_json_does_not_know_are_refused(value: Any) -> None:
    with pytest.raises(UnstorableText):
        storable_json({"a": [value]})
    with pytest.raises(UnstorableText):
        codec.to_rows([ModelResponse([ToolCallPart("f", {"a": [value]})])])


def test_what_is_not_json_is_refused() -> None:
    for value in ({1: "a"}, {"a": NOW}, {"a": {1, 2}}):
        with pytest.raises(UnstorableText, match="not JSON"):
            storable_json(value)


def test_nesting_is_limited() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert storable_json(deep) == deep
    for extra in (1, 300, 100_000):
        deeper = deep
        for _ in range(extra):
            deeper = [deeper]
        with pytest.raises(UnstorableText, match="deep"):
            storable_json(deeper)
        with pytest.raises(UnstorableText, match="deep"):
            codec.to_rows([ModelRequest([ToolReturnPart("f", deeper, tool_call_id="c")])])


@given(any_text)
def test_any_text_is_kept_or_refused(text: str) -> None:
    message = ModelRequest([UserPromptPart(text)])
    storable = "\0" not in text and text == text.encode(errors="replace").decode()
    try:
        [stored] = codec.to_rows([message])
    except UnstorableText:
        assert not storable
    else:
        assert storable
        assert stored.text_content == text


def floats(value: Any) -> Iterator[float]:
    match value:
        case float():
            yield value
        case list():
            for item in value:
                yield from floats(item)
        case dict():
            for item in value.values():
                yield from floats(item)


@given(any_json)
def test_any_json_stays_equal_or_is_refused(value: Any) -> None:
    try:
        kept = storable_json(value)
    except UnstorableText:
        return
    assert kept == value
    assert json.loads(json.dumps(kept)) == value
    written = [json.dumps(number) for number in floats(kept)]
    assert not [text for text in written if "e+" in text], "PostgreSQL reads it as another number"


def test_rows_have_no_session_yet() -> None:
    [stored] = codec.to_rows([ModelResponse([TextPart("Hi")])])
    assert stored.session_id is None
    assert isinstance(stored.pk, uuid.UUID)
