"""The product with agents that have a tool, which code may give them, and no row can."""

from collections.abc import Mapping
from typing import Any

from config.asgi import application  # isort: skip  # it sets up what comes next

from agents_app import agents

__all__ = ["application"]


def weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "clear"}


class AgentWithTool(agents.SimpleAgent):
    def __init__(self, config: Mapping[str, Any], **options: Any) -> None:
        super().__init__({**config, "tools": [weather]}, **options)


agents.SimpleAgent = AgentWithTool  # type: ignore[misc]
