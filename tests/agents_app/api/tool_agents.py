"""The product with agents that have tools, which only code can define.

As a program, it is `manage.py` with these agents.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from config.asgi import application  # isort: skip  # sets up Django for the next imports

from django.core.management import execute_from_command_line

from agents_app import agents

__all__ = ["application"]


def weather(city: str) -> dict[str, str]:
    """The weather in a city."""
    return {"city": city, "sky": "clear"}


async def wait_for_file(path: str) -> str:
    """Wait until the file exists; each call adds a line to the file `calls` beside it."""
    with Path(path).with_name("calls").open("a") as calls:
        calls.write("called\n")
    while not Path(path).exists():
        await asyncio.sleep(0.02)
    return "There it is."


class AgentWithTools(agents.SimpleAgent):
    def __init__(self, config: Mapping[str, Any], **options: Any) -> None:
        super().__init__({**config, "tools": [weather, wait_for_file]}, **options)


agents.SimpleAgent = AgentWithTools  # type: ignore[misc]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
