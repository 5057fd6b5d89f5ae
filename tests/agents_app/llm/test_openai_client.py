"""The client that parses a stream's chunks makes what the library's own client makes."""

import asyncio
import json
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, _base_client
from openai.types.chat import ChatCompletionChunk

from agents_app.llm.openai_client import OpenAIClient


def _chunk(delta: dict[str, Any], **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**chunk, "choices": [choice], **fields}


_CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12, "cached": {"n": 1}}
CONFORMING = [
    _chunk({"role": "assistant", "content": "Hello"}),
    _chunk({"content": None, "reasoning_content": "Let me see.", "reasoning": {"text": "Hm."}}),
    _chunk({"tool_calls": [_CALL]}, system_fingerprint="fp", provider={"name": "elsewhere"}),
    _chunk({}, choices=[], usage=_USAGE),
]
DEVIATING = [
    _chunk({"content": "Hello"}, object=""),
    _chunk({}, choices=[{"index": 0, "delta": {"content": "."}, "finish_reason": ""}]),
    _chunk({"content": "Hello"}, created="1", id=None),
    _chunk({"content": ["Hello"]}),
    {"choices": [{"delta": {"content": "Hello"}}]},
]


def _stream(client_class: type[AsyncOpenAI], chunks: list[dict[str, Any]]) -> list[Any]:
    body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    headers = {"Content-Type": "text/event-stream"}
    server = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, text=body))

    async def read() -> list[ChatCompletionChunk]:
        http_client = httpx2.AsyncClient(transport=server)
        base_url = "http://model.invalid/v1"
        async with client_class(base_url=base_url, api_key="k", http_client=http_client) as client:
            message: Any = {"role": "user", "content": "Hi"}
            stream = await client.chat.completions.create(
                model="m", messages=[message], stream=True
            )
            return [chunk async for chunk in stream]

    return asyncio.run(read())


@pytest.mark.parametrize("chunk", [*CONFORMING, *DEVIATING], ids=str)
def test_a_chunk_is_the_one_that_the_library_makes(chunk: dict[str, Any]) -> None:
    [ours], [librarys] = _stream(OpenAIClient, [chunk]), _stream(AsyncOpenAI, [chunk])
    assert ours == librarys
    assert ours.to_dict(warnings=False) == librarys.to_dict(warnings=False)
    assert ours.choices or ours.usage


def test_a_conforming_chunk_is_not_built_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks the method that is overridden, which it may cease to do."""

    def fail(**_: object) -> None:
        raise AssertionError("The library built the chunk.")

    monkeypatch.setattr(_base_client, "construct_type", fail)
    assert len(_stream(OpenAIClient, CONFORMING)) == len(CONFORMING)
    with pytest.raises(AssertionError, match="The library built the chunk"):
        _stream(OpenAIClient, DEVIATING)
