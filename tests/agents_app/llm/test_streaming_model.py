"""A response's text and reasoning are streamed, however they are divided into parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic_ai.messages import ModelResponse, ModelResponsePart, TextPart, ThinkingPart
from pydantic_ai.models import CompletedStreamedResponse, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel

from agents_app.llm.streaming_model import StreamingModel


class Replayed(WrapperModel):
    """A model that streams the parts of a response."""

    def __init__(self, parts: list[ModelResponsePart]) -> None:
        super().__init__(TestModel())
        self.response = ModelResponse(parts)

    @asynccontextmanager
    async def request_stream(self, *args: Any, **options: Any) -> AsyncIterator[StreamedResponse]:
        parameters = ModelRequestParameters()
        yield CompletedStreamedResponse(
            self.response, model_request_parameters=parameters, replay_events=True
        )


@pytest.mark.parametrize(
    "parts",
    [
        [TextPart("One."), TextPart(" Two.")],
        [ThinkingPart("Hm"), TextPart("One.")],
        [ThinkingPart("Hm"), TextPart("One."), ThinkingPart("So"), TextPart("Two.")],
        [TextPart("One."), ThinkingPart("Hm"), ThinkingPart("So"), TextPart("Two.")],
        [ThinkingPart(""), ThinkingPart("Hm"), TextPart("One.")],
    ],
    ids=lambda parts: "-".join(part.part_kind for part in parts),
)
def test_reasoning_between_texts_separates_paragraphs(parts: list[ModelResponsePart]) -> None:
    pieces: list[object] = []
    reasoning: list[str] = []
    model = StreamingModel(
        Replayed(parts),
        on_text=pieces.append,
        on_reasoning=reasoning.append,
        on_tools=pieces.append,
        max_output_tokens=500,
    )
    asyncio.run(model.request([], None, ModelRequestParameters()))
    assert "".join(map(str, pieces)) == ModelResponse(parts).text
    thoughts = [part.content for part in parts if isinstance(part, ThinkingPart) and part.content]
    assert "".join(reasoning) == "\n\n".join(thoughts)
