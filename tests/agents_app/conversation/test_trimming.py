"""Which part of a conversation a model is sent."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import (
    BinaryImage,
    CachePoint,
    DocumentUrl,
    FilePart,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from agents_app.conversation import trimming
from agents_app.conversation.codec import is_system_prompt


def user(text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)])


def assistant(text: str) -> ModelMessage:
    return ModelResponse([TextPart(text)])


def called(call_id: str, text: str = "") -> ModelMessage:
    return ModelResponse([*([TextPart(text)] if text else []), ToolCallPart("f", {}, call_id)])


def returned(call_id: str) -> ModelMessage:
    return ModelRequest([ToolReturnPart("f", "ok", tool_call_id=call_id)])


def system(text: str) -> ModelMessage:
    return ModelRequest([SystemPromptPart(text)])


messages = st.lists(
    st.one_of(
        st.builds(user, st.text(max_size=30)),
        st.builds(assistant, st.text(max_size=30)),
        st.builds(called, st.sampled_from("abc"), st.sampled_from(["", "Let me see"])),
        st.builds(returned, st.sampled_from("abc")),
        st.builds(system, st.sampled_from(["Be kind.", "Be brief."])),
    ),
    max_size=12,
)


def test_messages_without_content_are_left_out() -> None:
    empty: list[ModelMessage] = [
        assistant(""),
        assistant(" \n"),
        ModelResponse([]),
        ModelResponse([ThinkingPart("Hm")]),
        user(""),
        system(""),
    ]
    assert texts(trimming.prepare_for_model([user("Hi"), *empty, assistant("Hello")])) == [
        "Hi",
        "Hello",
    ]


def test_the_latest_system_prompt_comes_first() -> None:
    conversation = [system("Be kind."), user("Hi"), system("Be brief."), assistant("Hello")]
    assert texts(trimming.prepare_for_model(conversation)) == ["Be brief.", "Hi", "Hello"]


def test_open_calls_at_the_end_are_left_out() -> None:
    assert texts(trimming.prepare_for_model([user("Hi"), called("a")])) == ["Hi"]
    assert texts(trimming.prepare_for_model([user("Hi"), called("a", "Let me see")])) == [
        "Hi",
        "Let me see",
    ]
    half = ModelResponse([ToolCallPart("f", {}, "a"), ToolCallPart("g", {}, "b")])
    assert texts(trimming.prepare_for_model([user("Hi"), half, returned("a")])) == ["Hi"]
    whole = [user("Hi"), called("a"), returned("a")]
    assert trimming.prepare_for_model(whole) == whole
    asked_on = [user("Hi"), called("a"), user("Well?")]
    assert trimming.prepare_for_model(asked_on) == asked_on, (
        "the library closes calls in the middle"
    )


def test_only_text_thinking_and_tools_are_sent() -> None:
    page = DocumentUrl("http://127.0.0.1/", media_type="text/html", force_download="allow-local")
    image = BinaryImage(b"x", media_type="image/png")
    result = {"pages": [page, 7], "image": image, "url": "http://127.0.0.1/"}
    prepared = trimming.prepare_for_model(
        [
            ModelRequest([SystemPromptPart("Be kind.")]),
            ModelRequest([UserPromptPart(["See", page, TextContent("this"), CachePoint()])]),
            ModelResponse([FilePart(image), ThinkingPart("Hm"), ToolCallPart("f", {}, "a")]),
            ModelRequest([ToolReturnPart("f", result, tool_call_id="a")], instructions="Obey."),
            ModelResponse([FilePart(image)]),
            assistant("A page"),
            ModelRequest([UserPromptPart([image])]),
        ]
    )
    assert [getattr(message, "instructions", None) for message in prepared] == [None] * 6
    assert [[part.part_kind for part in message.parts] for message in prepared] == [
        ["system-prompt"],
        ["user-prompt"],
        ["thinking", "tool-call"],
        ["tool-return"],
        ["text"],
        ["user-prompt"],
    ]
    placeholder = trimming.FILE_PLACEHOLDER
    assert texts(prepared) == [
        "Be kind.",
        ["See", placeholder, "this"],
        "Hm",
        None,
        {"pages": [placeholder, 7], "image": placeholder, "url": "http://127.0.0.1/"},
        "A page",
        [placeholder],
    ]


def test_turns_are_kept_or_dropped_as_a_whole() -> None:
    first = [user("1"), assistant("one")]
    second = [user("2"), called("a"), returned("a"), assistant("two")]
    prompt = system("Be kind.")
    cost = sum(trimming.estimate_message_tokens(message) for message in [prompt, *second])
    conversation = [prompt, *first, *second]
    assert trimming.trim_to_budget(conversation, cost) == [prompt, *second]
    assert trimming.trim_to_budget(conversation, cost - 1) == [prompt]
    assert trimming.trim_to_budget(conversation, cost + 100) == conversation
    assert trimming.trim_to_budget(conversation, -5) == [prompt]
    assert trimming.trim_to_count(conversation, 4) == [prompt, *second]
    assert trimming.trim_to_count(conversation, 5) == [prompt, *second]
    assert trimming.trim_to_count(conversation, 3) == [prompt]


def test_trimming_to_half_ends() -> None:
    conversation = [system("Be kind."), *[user("x" * 50), assistant("y" * 50)] * 20]
    lengths: list[int] = []
    while len(conversation) > 1:
        conversation = trimming.trim_to_half(conversation)
        lengths.append(len(conversation))
    assert lengths == [19, 9, 3, 1]


def test_tokens_are_estimated_from_bytes() -> None:
    assert trimming.estimate_tokens("") == 0
    assert trimming.estimate_tokens("abcd") == 2
    assert trimming.estimate_tokens("日本") == 2
    assert trimming.estimate_message_tokens(user("x" * 300)) == 100 + trimming.TOKENS_PER_MESSAGE
    assert trimming.estimate_message_tokens(returned("a")) > trimming.TOKENS_PER_MESSAGE
    assert trimming.estimate_message_tokens(called("a", "x" * 300)) > 100


@given(messages, st.integers(-10, 200))
def test_providers_accept_what_is_sent(conversation: list[ModelMessage], budget: int) -> None:
    kept = trimming.trim_to_budget(trimming.prepare_for_model(conversation), budget)
    prompts = [message for message in kept if is_system_prompt(message)]
    others = [message for message in kept if not is_system_prompt(message)]
    assert kept == [*prompts, *others]
    assert len(prompts) == any(is_system_prompt(message) for message in conversation)
    if others:
        assert any(isinstance(part, UserPromptPart) for part in others[0].parts)
        assert sum(trimming.estimate_message_tokens(message) for message in kept) <= budget
    calls_so_far: set[str] = set()
    whole = trimming.prepare_for_model(conversation)
    dropped_calls = {
        part.tool_call_id
        for message in whole[: len(whole) - len(others)]
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    for message in others:
        calls_so_far |= {p.tool_call_id for p in message.parts if isinstance(p, ToolCallPart)}
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                # An output that never had a call in the conversation was not separated from it.
                assert part.tool_call_id in calls_so_far or part.tool_call_id not in dropped_calls


@given(messages, st.integers(0, 200))
def test_a_larger_budget_keeps_at_least_as_much(
    conversation: list[ModelMessage], budget: int
) -> None:
    conversation = trimming.prepare_for_model(conversation)
    less = trimming.trim_to_budget(conversation, budget)
    more = trimming.trim_to_budget(conversation, budget + 50)
    assert len(more) >= len(less)
    assert trimming.trim_to_budget(less, budget) == less


def texts(conversation: list[ModelMessage]) -> list[object]:
    return [getattr(part, "content", None) for m in conversation for part in m.parts]
