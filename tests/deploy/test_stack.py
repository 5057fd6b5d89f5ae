"""PostgreSQL, PgBouncer, two web processes and the proxy, as deploy/ puts them together.

The configurations of PgBouncer and Caddy are used as they are, with ports and paths of the test.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse, HTTPSConnection
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import psycopg
import pytest

from tests import pooler
from tests.concurrency.test_workers import worker_process
from tests.conftest import ROOT
from tests.model_server import PATIENCE, ToldModel, served_model
from tests.pooler import free_port, wait_for_port
from tests.postgres import Cluster
from tests.serving import Server

caddy = shutil.which("caddy")
pytestmark = [
    pytest.mark.skipif(pooler.executable is None, reason="PgBouncer is not installed"),
    pytest.mark.skipif(caddy is None, reason="Caddy is not installed"),
]

PASSWORD = "a-password-for-postgres"
SETTINGS = {
    "DEBUG": "off",
    "HTTPS": "on",
    "TRUST_PROXY": "on",
    "ALLOWED_HOSTS": "localhost",
    "METRICS_TOKEN": "a-token-for-prometheus",
    "AGENT_MODEL": "fake",
    "LOG_FORMAT": "json",
}
SET_UP = """
from django.contrib.auth.models import User
User.objects.create_user("ana", password="secret-enough-1")
"""


@dataclass
class Stack:
    """Everything that runs, and how to reach it."""

    pooled_url: str
    direct_url: str
    proxy_port: int
    certificate: Path
    web: list[Server]
    model: ToldModel

    def manage(self, *arguments: str) -> str:
        """Run manage.py through PgBouncer; returns what it prints."""
        return manage(self.pooled_url, *arguments)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What stands in the database, asked for directly."""
        with psycopg.connect(self.direct_url) as connection:
            return connection.execute(query.encode()).fetchall()


def manage(url: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**environment(url), **SETTINGS},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    cluster = Cluster()
    with psycopg.connect(cluster.url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE chat LOGIN PASSWORD '{PASSWORD}'".encode())
        connection.execute("CREATE DATABASE chat OWNER chat")
    cluster.require_password("chat")
    direct = f"postgresql://chat:{PASSWORD}@/chat?host={cluster.socket_folder}"
    pooled = pooler.start(cluster, user="chat", password=PASSWORD, database="chat")
    manage(direct, "migrate", "-v0")
    manage(pooled, "shell", "-v0", "-c", SET_UP)
    with ExitStack() as running:
        model = running.enter_context(served_model(ToldModel()))
        web = [running.enter_context(web_process(pooled, model)) for _ in range(2)]
        port, certificate = running.enter_context(proxy(web))
        yield Stack(pooled, direct, port, certificate, web, model)
        model.release()


@contextmanager
def web_process(url: str, model: ToldModel, **more: str) -> Iterator[Server]:
    """One that opens its port itself, so that it is closed when the process has ended."""
    port = free_port()
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port)],
            *["--log-level", "error", "--timeout-graceful-shutdown", "2"],
        ],
        cwd=ROOT,
        env={**environment(url), **SETTINGS, "AGENT_BASE_URL": model.base_url, **more},
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        wait_for_port(port, process, seconds=60)
        yield Server(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def proxy(web: list[Server]) -> Iterator[tuple[int, Path]]:
    """Caddy in front of the web processes; yields its port and its authority's certificate."""
    folder = Path(tempfile.mkdtemp(prefix="chat-sessions-caddy-"))
    port = free_port()
    log = (folder / "log").open("w+")
    process = subprocess.Popen(
        [caddy or "", "run", "--config", ROOT / "deploy" / "Caddyfile", "--adapter", "caddyfile"],
        env={
            **os.environ,
            "SITE_ADDRESS": "localhost",
            "WEB": " ".join(urlsplit(server.address).netloc for server in web),
            "HTTP_PORT": str(free_port()),
            "HTTPS_PORT": str(port),
            "XDG_DATA_HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
        },
        stdin=subprocess.DEVNULL,
        stderr=log,
    )
    try:
        wait_for_port(port, process)
        certificate = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        try:
            wait_for_certificate(port, certificate)
        except TimeoutError as error:
            error.add_note((folder / "log").read_text())
            raise
        yield port, certificate
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for_certificate(port: int, authority: Path) -> None:
    """Caddy listens before it has made its certificate."""
    give_up_at = time.monotonic() + PATIENCE
    reason: OSError | None = None
    while time.monotonic() < give_up_at:
        try:
            trust = ssl.create_default_context(cafile=str(authority))
            with closing(HTTPSConnection("localhost", port, context=trust)) as connection:
                connection.connect()
        except OSError as error:
            reason = error
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("Caddy has no certificate") from reason


class Person:
    """Uses the site over HTTPS, as a browser does."""

    def __init__(self, port: int, certificate: Path) -> None:
        self.site = f"https://localhost:{port}"
        trust = ssl.create_default_context(cafile=str(certificate))
        self.connection = HTTPSConnection("localhost", port, context=trust, timeout=60)
        self._cookies: SimpleCookie = SimpleCookie()

    def request(
        self, method: str, path: str, form: dict[str, str] | None = None, **headers: str
    ) -> HTTPResponse:
        cookies = "; ".join(f"{name}={item.value}" for name, item in self._cookies.items())
        headers |= {
            "Cookie": cookies,
            "Referer": f"{self.site}/",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept-Encoding": "gzip",
        }
        self.connection.request(method, path, urlencode(form or {}), headers)
        response = self.connection.getresponse()
        for cookie in response.headers.get_all("Set-Cookie") or []:
            self._cookies.load(cookie)
        return response

    def log_in(self) -> None:
        page = self.request("GET", "/accounts/login/").read().decode()
        form = {"username": "ana", "password": "secret-enough-1", **token(page)}
        response = self.request("POST", "/accounts/login/", form)
        response.read()
        assert response.status == 302
        assert self._cookies["sessionid"]["secure"]

    def ask(self, text: str) -> HTTPResponse:
        """Start a chat; returns the stream of its answer."""
        page = self.request("GET", "/chats/").read().decode()
        agent = re.search(r'name="agent" value="(\d+)"', page)
        assert agent
        form = {"agent": agent[1], "text": text, "message_id": str(uuid.uuid4()), **token(page)}
        stream = self.request("POST", "/chats/", form, Accept="text/event-stream")
        assert stream.status == 200
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        return stream


def token(page: str) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert found
    return {"csrfmiddlewaretoken": found[1]}


def read_until(stream: HTTPResponse, text: str) -> str:
    while text not in (line := stream.readline().decode()):
        assert line, f"the stream ended before {text!r}"
    return line


@pytest.fixture
def person(stack: Stack) -> Iterator[Person]:
    person = Person(stack.proxy_port, stack.certificate)
    with closing(person.connection):
        person.log_in()
        yield person


def test_an_answer_streams_through_all_of_it(stack: Stack, person: Person) -> None:
    stream = person.ask("Hello")
    answer = stack.model.asked()
    answer.say("First words ")
    read_until(stream, "First words")  # before the answer has ended

    # The web processes alone: the rows of workers that another test has killed stay for a while.
    pids = ", ".join(str(server.process.pid) for server in stack.web)
    heartbeats = f"SELECT id, heartbeat_at FROM worker_processes WHERE pid IN ({pids})"
    beats = set(stack.rows(heartbeats))
    assert len(beats) == len(stack.web)
    give_up_at = time.monotonic() + PATIENCE
    while beats & set(stack.rows(heartbeats)):
        assert time.monotonic() < give_up_at, "a heartbeat is not renewed"
        time.sleep(0.1)

    answer.say("and the last.")
    answer.end()
    read_until(stream, "event: end")
    assert json.loads(stream.readline().decode().removeprefix("data: "))["status"] == "done"
    stream.read()
    stored = stack.rows(
        "SELECT role, text_content FROM messages WHERE session_id ="
        " (SELECT session_id FROM agent_runs ORDER BY created_at DESC LIMIT 1) ORDER BY position"
    )
    assert stored == [("user", "Hello"), ("assistant", "First words and the last.")]


def test_workers_answer_beside_all_of_it(stack: Stack) -> None:
    """They and the watchers listen past PgBouncer."""
    variables = {"ANSWERS_IN": "workers", "DATABASE_DIRECT_URL": stack.direct_url}
    with (
        worker_process(
            DATABASE_URL=stack.pooled_url,
            AGENT_BASE_URL=stack.model.base_url,
            **(SETTINGS | variables),
        ),
        web_process(stack.pooled_url, stack.model, **variables) as web,
        proxy([web]) as (port, certificate),
    ):
        person = Person(port, certificate)
        with closing(person.connection):
            person.log_in()
            stream = person.ask("Hello")
            answer = stack.model.asked()
            for words in ("First words ", "and more "):
                answer.say(words)
                read_until(stream, words.split()[-1])
            heard = "SELECT query FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
            channels = {str(query).split()[1].strip('"') for (query,) in stack.rows(heard)}
            assert channels >= {"agent_runs"}
            answer.end()
            read_until(stream, "event: end")
            assert json.loads(stream.readline().decode().removeprefix("data: "))["status"] == "done"
            stream.read()
    hosts = "SELECT count(*) FROM agent_runs WHERE attempt = 1 AND status = 'done'"
    assert stack.rows(hosts) == [(1,)]


def test_a_cleanup_and_its_undo_through_pgbouncer(stack: Stack) -> None:
    stack.manage(
        "shell",
        "-v0",
        "-c",
        "from tests.factories import phantom\nfor _ in range(30): phantom()",
    )
    phantoms = "SELECT count(*) FROM sessions WHERE name LIKE 'Session-%'"
    [before] = stack.rows(phantoms)
    report = json.loads(
        stack.manage("cleanup_sessions", "--json", "--batch-size", "7", "--workers", "2")
    )
    assert report["status"] == "done"
    assert before == (report["removed"],) == (30,)
    assert stack.rows(phantoms) == [(0,)]
    assert stack.rows("SELECT count(*) FROM removed_sessions") == [(30,)]
    stack.manage("restore_sessions", str(report["run"]))
    assert stack.rows(phantoms) == [(30,)]


def test_rows_can_be_read_while_others_use_the_server_connection(stack: Stack) -> None:
    """A server-side cursor outside a transaction would be gone."""
    script = """
import threading
from django.contrib.auth.models import Permission
from django.db import connection, transaction
total = Permission.objects.count()
rows = Permission.objects.iterator(chunk_size=2)
read = [next(rows)]
taken, done = threading.Event(), threading.Event()
def others():
    with transaction.atomic():
        connection.cursor().execute("SELECT 1")
        taken.set()
        done.wait(30)
    connection.close()
thread = threading.Thread(target=others)
thread.start()
taken.wait(30)
read += rows
done.set()
thread.join()
assert len(read) == total > 10, (len(read), total)
"""
    stack.manage("shell", "-v0", "-c", script)


def test_metrics_are_not_for_the_public(stack: Stack, person: Person) -> None:
    bearer = {"Authorization": f"Bearer {SETTINGS['METRICS_TOKEN']}"}
    response = person.request("GET", "/metrics", None, **bearer)
    response.read()
    assert response.status == 404
    for server in stack.web:
        request = urllib.request.Request(f"{server.address}/metrics", headers=bearer)
        with urllib.request.urlopen(request, timeout=30) as answered:
            assert b'chat_sessions{kind="other"}' in answered.read()


def test_requests_go_to_the_process_that_is_there(stack: Stack) -> None:
    with (
        web_process(stack.pooled_url, stack.model) as stopped,
        proxy([stopped, stack.web[0]]) as (port, certificate),
    ):
        person = Person(port, certificate)
        with closing(person.connection):
            person.log_in()
            stopped.process.terminate()
            stopped.process.wait(timeout=30)
            statuses = []
            for _ in range(10):
                response = person.request("GET", "/chats/")
                response.read()
                statuses.append(response.status)
    assert statuses == [200] * 10
