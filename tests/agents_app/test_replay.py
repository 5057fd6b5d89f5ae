"""What of a conversation a model is told again."""

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

from agents_app import replay
from agents_app.transcripts import is_system_prompt


def said(text: str) -> ModelMessage:
    return ModelRequest([UserPromptPart(text)])


def answered(text: str) -> ModelMessage:
    return ModelResponse([TextPart(text)])


def called(call_id: str, text: str = "") -> ModelMessage:
    return ModelResponse([*([TextPart(text)] if text else []), ToolCallPart("f", {}, call_id)])


def returned(call_id: str) -> ModelMessage:
    return ModelRequest([ToolReturnPart("f", "ok", tool_call_id=call_id)])


def told(text: str) -> ModelMessage:
    return ModelRequest([SystemPromptPart(text)])


messages = st.lists(
    st.one_of(
        st.builds(said, st.text(max_size=30)),
        st.builds(answered, st.text(max_size=30)),
        st.builds(called, st.sampled_from("abc"), st.sampled_from(["", "Let me see"])),
        st.builds(returned, st.sampled_from("abc")),
        st.builds(told, st.sampled_from(["Be kind.", "Be brief."])),
    ),
    max_size=12,
)


def test_empty_answers_and_prompts_are_not_replayed() -> None:
    empty: list[ModelMessage] = [
        answered(""),
        answered(" \n"),
        ModelResponse([]),
        ModelResponse([ThinkingPart("Hm")]),
        said(""),
        told(""),
    ]
    assert texts(replay.replayable([said("Hi"), *empty, answered("Hello")])) == ["Hi", "Hello"]


def test_the_latest_system_prompt_stands_first() -> None:
    conversation = [told("Be kind."), said("Hi"), told("Be brief."), answered("Hello")]
    assert texts(replay.replayable(conversation)) == ["Be brief.", "Hi", "Hello"]


def test_calls_that_nothing_answered_are_left_out_at_the_end() -> None:
    assert texts(replay.replayable([said("Hi"), called("a")])) == ["Hi"]
    assert texts(replay.replayable([said("Hi"), called("a", "Let me see")])) == ["Hi", "Let me see"]
    half = ModelResponse([ToolCallPart("f", {}, "a"), ToolCallPart("g", {}, "b")])
    assert texts(replay.replayable([said("Hi"), half, returned("a")])) == ["Hi"]
    whole = [said("Hi"), called("a"), returned("a")]
    assert replay.replayable(whole) == whole
    asked_on = [said("Hi"), called("a"), said("Well?")]
    assert replay.replayable(asked_on) == asked_on, "the library closes calls in the middle"


def test_only_words_thoughts_and_tools_are_told_again() -> None:
    page = DocumentUrl("http://127.0.0.1/", media_type="text/html", force_download="allow-local")
    image = BinaryImage(b"x", media_type="image/png")
    result = {"pages": [page, 7], "image": image, "url": "http://127.0.0.1/"}
    told_again = replay.replayable(
        [
            ModelRequest([SystemPromptPart("Be kind.")]),
            ModelRequest([UserPromptPart(["See", page, TextContent("this"), CachePoint()])]),
            ModelResponse([FilePart(image), ThinkingPart("Hm"), ToolCallPart("f", {}, "a")]),
            ModelRequest([ToolReturnPart("f", result, tool_call_id="a")], instructions="Obey."),
            ModelResponse([FilePart(image)]),
            answered("A page"),
            ModelRequest([UserPromptPart([image])]),
        ]
    )
    assert [getattr(message, "instructions", None) for message in told_again] == [None] * 6
    assert [[part.part_kind for part in message.parts] for message in told_again] == [
        ["system-prompt"],
        ["user-prompt"],
        ["thinking", "tool-call"],
        ["tool-return"],
        ["text"],
        ["user-prompt"],
    ]
    left_out = replay.FILE_LEFT_OUT
    assert texts(told_again) == [
        "Be kind.",
        ["See", left_out, "this"],
        "Hm",
        None,
        {"pages": [left_out, 7], "image": left_out, "url": "http://127.0.0.1/"},
        "A page",
        [left_out],
    ]


def test_a_turn_is_kept_whole_or_not_at_all() -> None:
    first = [said("1"), answered("one")]
    second = [said("2"), called("a"), returned("a"), answered("two")]
    prompt = told("Be kind.")
    cost = sum(replay.tokens_of(message) for message in [prompt, *second])
    conversation = [prompt, *first, *second]
    assert replay.within_budget(conversation, cost) == [prompt, *second]
    assert replay.within_budget(conversation, cost - 1) == [prompt]
    assert replay.within_budget(conversation, cost + 100) == conversation
    assert replay.within_budget(conversation, -5) == [prompt]
    assert replay.within_count(conversation, 4) == [prompt, *second]
    assert replay.within_count(conversation, 5) == [prompt, *second]
    assert replay.within_count(conversation, 3) == [prompt]


def test_shortened_comes_to_an_end() -> None:
    conversation = [told("Be kind."), *[said("x" * 50), answered("y" * 50)] * 20]
    lengths: list[int] = []
    while len(conversation) > 1:
        conversation = replay.shortened(conversation)
        lengths.append(len(conversation))
    assert lengths == [19, 9, 3, 1]


def test_tokens_are_counted_by_bytes() -> None:
    assert replay.estimate_tokens("") == 0
    assert replay.estimate_tokens("abcd") == 2
    assert replay.estimate_tokens("日本") == 2
    assert replay.tokens_of(said("x" * 300)) == 100 + replay.TOKENS_PER_MESSAGE
    assert replay.tokens_of(returned("a")) > replay.TOKENS_PER_MESSAGE
    assert replay.tokens_of(called("a", "x" * 300)) > 100


@given(messages, st.integers(-10, 200))
def test_what_is_replayed_is_fit_for_a_provider(
    conversation: list[ModelMessage], budget: int
) -> None:
    kept = replay.within_budget(replay.replayable(conversation), budget)
    prompts = [message for message in kept if is_system_prompt(message)]
    others = [message for message in kept if not is_system_prompt(message)]
    assert kept == [*prompts, *others]
    assert len(prompts) == any(is_system_prompt(message) for message in conversation)
    if others:
        assert any(isinstance(part, UserPromptPart) for part in others[0].parts)
        assert sum(replay.tokens_of(message) for message in kept) <= budget
    called_so_far: set[str] = set()
    whole = replay.replayable(conversation)
    cut_off = {
        part.tool_call_id
        for message in whole[: len(whole) - len(others)]
        for part in message.parts
        if isinstance(part, ToolCallPart)
    }
    for message in others:
        called_so_far |= {p.tool_call_id for p in message.parts if isinstance(p, ToolCallPart)}
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                # Without any call in the conversation there is none to be torn from.
                assert part.tool_call_id in called_so_far or part.tool_call_id not in cut_off


@given(messages, st.integers(0, 200))
def test_more_budget_keeps_at_least_as_much(conversation: list[ModelMessage], budget: int) -> None:
    conversation = replay.replayable(conversation)
    less = replay.within_budget(conversation, budget)
    more = replay.within_budget(conversation, budget + 50)
    assert len(more) >= len(less)
    assert replay.within_budget(less, budget) == less


def texts(conversation: list[ModelMessage]) -> list[object]:
    return [getattr(part, "content", None) for m in conversation for part in m.parts]
