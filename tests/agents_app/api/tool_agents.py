"""The product with agents that have tools, which only code can define."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.asgi import application  # isort: skip  # sets up Django for the next import

from agents_app import agents

__all__ = ["application"]


def weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "clear"}


async def wait_for_file(path: str) -> str:
    """Wait until the file exists."""
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    return "There it is."


class AgentWithTools(agents.SimpleAgent):
    def __init__(self, config: Mapping[str, Any], **options: Any) -> None:
        super().__init__({**config, "tools": [weather, wait_for_file]}, **options)


agents.SimpleAgent = AgentWithTools  # type: ignore[misc]
