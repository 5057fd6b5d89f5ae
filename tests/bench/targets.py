"""The servers whose streams are compared: the product, and the minimum that streams the same."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlencode, urlsplit

import psycopg

from tests.bench.data import ROOT, Databases, environment
from tests.bench.paced_model import TEXT
from tests.bench.processes import worker
from tests.serving import serve

_CSRF_TOKEN = "t" * 32  # the same in the cookie and the header is all that Django asks for


@dataclass(frozen=True)
class Serving:
    """The ports of this machine where web processes listen, and the ids of all processes."""

    ports: list[int]
    process_ids: list[int]


class Target(Protocol):
    """A server, and how to request an answer from it."""

    first_text: str
    """How the first event with text begins."""

    @contextmanager
    def serve(self) -> Iterator[Serving]:
        """Serve while the block runs."""

    def request(self, number: int) -> str:
        """The HTTP request that streams an answer to the user of that number."""

    def transactions(self) -> int:
        """The database transactions of its processes so far, when none is running."""

    def stored_answers(self) -> int | None:
        """The complete answers in its database; None when it stores none."""


class Floor:
    """pydantic-ai behind a bare ASGI application."""

    first_text = "data: "

    def __init__(self, model_url: str) -> None:
        self._model_url = model_url

    @contextmanager
    def serve(self) -> Iterator[Serving]:
        application = "tests.bench.floor_app:application"
        with serve("", None, application, MODEL_URL=self._model_url) as server:
            yield Serving([_port(server.address)], [server.process.pid])

    def request(self, _number: int) -> str:
        return _http("GET", "/", {})

    def transactions(self) -> int:
        return 0

    def stored_answers(self) -> None:
        return None


class Product:
    """The product on PostgreSQL, with logged-in users."""

    first_text = "event: text\n"

    def __init__(
        self, databases: Databases, model_url: str, *, users: int, answers_in: str = "web"
    ) -> None:
        self._databases = databases
        self._answers_in = answers_in
        self._url = databases.empty()
        self._environment = {
            **environment(self._url),
            "HTTPS": "off",
            "ALLOWED_HOSTS": "127.0.0.1",
            "AGENT_MODEL": "openai:paced",
            "AGENT_BASE_URL": model_url,
            "DATABASE_POOL": "on",
            "ANSWERS_IN": answers_in,
        }
        self._run("manage.py", "migrate", "--verbosity", "0")
        logins = json.loads(self._run("-m", "tests.bench.logins", str(users)))
        self._agent: int = logins["agent"]
        self._cookies: list[str] = logins["cookies"]

    @contextmanager
    def serve(self, web_processes: int = 1, **variables: str) -> Iterator[Serving]:
        """Serve while the block runs, with so many web processes on the same database."""
        with ExitStack() as stack:
            servers = [
                stack.enter_context(serve(self._url, **self._environment, **variables))
                for _ in range(web_processes)
            ]
            pids = [server.process.pid for server in servers]
            if self._answers_in == "workers":
                pids.append(stack.enter_context(worker(self._environment)))
            yield Serving([_port(server.address) for server in servers], pids)

    def request(self, number: int) -> str:
        return self.post(number, accept="text/event-stream")

    def post(self, number: int, *, accept: str) -> str:
        """The request that starts a chat."""
        form = {"agent": self._agent, "text": "Hello", "message_id": str(uuid.uuid4())}
        return _http(
            "POST",
            "/chats/",
            {
                **self._headers(number, accept),
                "Content-Type": "application/x-www-form-urlencoded",
                "X-CSRFToken": _CSRF_TOKEN,
            },
            urlencode(form),
        )

    def get(self, path: str, number: int) -> str:
        return _http("GET", path, self._headers(number, "text/event-stream"))

    def transactions(self) -> int:
        """PostgreSQL's count; connections report theirs at the latest when they are closed."""
        name = urlsplit(self._url).path.removeprefix("/")
        with psycopg.connect(self._databases.server_url, autocommit=True) as connection:
            while connection.execute(
                "SELECT 1 FROM pg_stat_activity"
                " WHERE datname = %s AND backend_type = 'client backend'",
                [name],
            ).fetchone():
                time.sleep(0.05)
            row = connection.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
                [name],
            ).fetchone()
        assert row
        return int(row[0])

    def stored_answers(self) -> int:
        with psycopg.connect(self._url) as connection:
            row = connection.execute(
                "SELECT count(*) FROM messages WHERE role = 'assistant' AND text_content = %s",
                [TEXT],
            ).fetchone()
        assert row
        return int(row[0])

    def _headers(self, number: int, accept: str) -> dict[str, str]:
        cookie = f"sessionid={self._cookies[number]}; csrftoken={_CSRF_TOKEN}"
        return {"Accept": accept, "Cookie": cookie}

    def _run(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


def _http(method: str, path: str, headers: dict[str, str], body: str = "") -> str:
    """An HTTP request, after whose response the connection is closed."""
    if body:
        headers = {**headers, "Content-Length": str(len(body))}
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", body])


def _port(address: str) -> int:
    port = urlsplit(address).port
    assert port
    return port
