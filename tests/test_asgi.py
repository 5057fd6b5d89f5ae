"""The entry point of the web server, in a process of its own."""

import os
import subprocess
import sys

from tests.conftest import ROOT

FROM_START_TO_END = """
import asyncio, sys
from config.asgi import application

async def serve():
    received = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(received)}

    async def send(message):
        print(message["type"])

    await application({"type": "lifespan"}, receive, send)

print("pydantic_ai" in sys.modules)
asyncio.run(serve())
print("pydantic_ai" in sys.modules, "xllamacpp" in sys.modules)
"""


def test_server_does_not_start_with_a_model_that_does_not_exist() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", "0"],
        cwd=ROOT,
        env={**os.environ, "DEBUG": "on", "AGENT_MODEL": "foo:bar"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "AGENT_MODEL: “foo:bar” does not start with a provider" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_loads_what_the_first_answer_needs_and_no_model() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FROM_START_TO_END],
        cwd=ROOT,
        env={
            **os.environ,
            "DEBUG": "on",
            "DATABASE_URL": "sqlite://:memory:",
            "AGENT_MODEL": "local",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    said = ["False", "lifespan.startup.complete", "lifespan.shutdown.complete", "True", "False"]
    assert done.stdout.split() == said
