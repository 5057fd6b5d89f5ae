"""What the product adds to the time to the first token, compared with asking the model directly.

The model is a server on this machine that answers at once, so that only the way to it is
measured: in the product, from posting a message to the first text of the answer, on PostgreSQL,
through the web server and, with `--answers-in workers`, a worker.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPResponse
from http.cookies import SimpleCookie
from statistics import median
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import ROOT, Databases, environment
from tests.bench.processes import announced, worker
from tests.serving import serve

_CHATS = 40
_WARM_UP = 5
_BOUNDS_MS = {"web": 25, "workers": 60}  # by ANSWERS_IN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--answers-in", choices=list(_BOUNDS_MS), default="web")


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the times; returns which bounds were missed."""
    answers_in: str = options.answers_in
    with (
        announced("tests.model_server") as model_url,
        product(databases.empty(), model_url, answers_in=answers_in) as address,
    ):
        measured, alone = medians_in_turn(_Person(address), Direct(model_url))
    bound = _BOUNDS_MS[answers_in]
    report = Report(f"Time to the first token, answers in {answers_in}")
    report.add("through the product", [measured], "{:.1f} ms")
    report.add("from the model alone", [alone], "{:.1f} ms")
    report.add("added by the product", [measured - alone], "{:.1f} ms", at_most=bound)
    console.print(report.table)
    return report.missed


def medians_in_turn(through_product: "Asker", direct: "Asker") -> tuple[float, float]:
    """The medians of both, asked in turn, in milliseconds."""
    measured = [(through_product.first_token(), direct.first_token()) for _ in range(_CHATS)]
    added, alone = zip(*measured[_WARM_UP:], strict=True)
    return median(added) * 1000, median(alone) * 1000


class Asker(Protocol):
    """A client that asks for answers."""

    def first_token(self) -> float:
        """Ask, and read the answer to its end; returns the seconds until its first text."""


class Direct:
    """The same model through pydantic-ai, with nothing around it."""

    def __init__(self, base_url: str) -> None:
        from pydantic_ai import Agent
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.providers.openai import OpenAIProvider

        provider = OpenAIProvider(base_url=base_url, api_key="none")
        self._agent = Agent(OpenAIChatModel("fake", provider=provider))
        self._loop = asyncio.new_event_loop()

    def first_token(self) -> float:
        return self._loop.run_until_complete(self._ask())

    async def _ask(self) -> float:
        started = time.perf_counter()
        first = 0.0
        async with self._agent.run_stream("Hello") as answer:
            async for _ in answer.stream_text(delta=True, debounce_by=None):
                first = first or time.perf_counter() - started
        return first


class _Person:
    """Logs in as a demo user, and starts chats as the page's script does."""

    def __init__(self, address: str) -> None:
        self._connection = HTTPConnection(urlsplit(address).netloc)
        self._cookies: SimpleCookie = SimpleCookie()
        page = self._request("GET", "/accounts/login/").read().decode()
        login = {"username": "ana", "password": "demo-ana", "next": "/chats/"}
        self._request("POST", "/accounts/login/", {**login, **_token(page)}).read()
        page = self._request("GET", "/chats/").read().decode()
        agent = re.search(r'<option value="(\d+)" selected', page)
        if agent is None:
            sys.exit("The page of chats has no agent to choose.")
        self._form = {"agent": agent[1], "text": "Hello", **_token(page)}

    def first_token(self) -> float:
        started = time.perf_counter()
        form = {**self._form, "message_id": str(uuid.uuid4())}
        stream = self._request("POST", "/chats/", form)
        first, event, end = 0.0, b"", ""
        for line in stream:
            if line.startswith(b"event: "):
                event = line.removeprefix(b"event: ").strip()
            elif line.startswith(b"data: ") and event in (b"text", b"end"):
                # The end has all of an answer that was quicker than the reading of its text.
                first = first or time.perf_counter() - started
                if event == b"end":
                    end = json.loads(line.removeprefix(b"data: "))["status"]
        if not first or end != "done":
            sys.exit(f"The answer ended as {end or 'nothing'}.")
        return first

    def _request(self, method: str, path: str, form: dict[str, str] | None = None) -> HTTPResponse:
        headers = {
            "Cookie": "; ".join(f"{name}={item.value}" for name, item in self._cookies.items()),
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "text/event-stream",
        }
        self._connection.close()  # the server ends idle ones
        self._connection.request(method, path, urlencode(form or {}), headers)
        response = self._connection.getresponse()
        for cookie in response.headers.get_all("Set-Cookie") or []:
            self._cookies.load(cookie)
        if response.status >= 400:
            sys.exit(f"{method} {path} answered {response.status}.")
        return response


def _token(page: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    return {"csrfmiddlewaretoken": found[1]} if found else {}


@contextmanager
def product(database_url: str, model_url: str, *, answers_in: str = "web") -> Iterator[str]:
    """The product with the demo's users and agents; yields its address."""
    variables = {
        **environment(database_url),
        "HTTPS": "off",
        "ALLOWED_HOSTS": "127.0.0.1",
        "AGENT_MODEL": "openai:fake",
        "AGENT_BASE_URL": model_url,
        "ANSWERS_IN": answers_in,
    }
    for command in (["migrate", "--verbosity", "0"], ["load_demo"]):
        subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env={**variables, "DEBUG": "on"},  # the demo's passwords are for development
            check=True,
            stdout=subprocess.DEVNULL,
        )
    with ExitStack() as stack:
        server = stack.enter_context(serve(database_url, **variables))
        if answers_in == "workers":
            stack.enter_context(worker(variables))
        yield server.address
