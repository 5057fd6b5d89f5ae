"""The minimum that streams an answer: pydantic-ai's events as server-sent events, nothing stored.

`uvicorn tests.bench.floor_app:application`, with the model's base URL in MODEL_URL. Answers
every request with one `text` event per token and an `end` event.
"""

import json
import os
from typing import Any

from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.bench.paced_model import TEXT

_provider = OpenAIProvider(base_url=os.environ["MODEL_URL"], api_key="none")
_agent = Agent(OpenAIChatModel("paced", provider=_provider))


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async with _agent.run_stream_events("Hello") as events:
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                await _send(send, {"text": event.part.content})
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                await _send(send, {"text": event.delta.content_delta})
            elif isinstance(event, AgentRunResultEvent):
                is_complete = event.result.output == TEXT
                status = "done" if is_complete else "incomplete"
                await _send(send, {"status": status}, name="end")
    await send({"type": "http.response.body"})


async def _send(send: Any, data: dict[str, str], *, name: str = "") -> None:
    event = f"event: {name}\n" if name else ""
    body = f"{event}data: {json.dumps(data)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
