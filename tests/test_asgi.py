"""The ASGI entry point, in a separate process."""

import os
import subprocess
import sys

from tests.conftest import ROOT

STARTUP_AND_SHUTDOWN = """
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


def test_the_server_does_not_start_with_an_invalid_model() -> None:
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


def test_the_server_imports_the_agent_library_but_loads_no_model() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", STARTUP_AND_SHUTDOWN],
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
    expected = ["False", "lifespan.startup.complete", "lifespan.shutdown.complete", "True", "False"]
    assert done.stdout.split() == expected
