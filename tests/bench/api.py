"""What the HTTP API costs as sessions grow, compared with Automagik's query and the bare library.

On PostgreSQL, through the web server: one user's sessions, all of which have messages. Growth is
measured with requests in turn to two servers, one with many sessions and one with few. Automagik's
list joins all sessions with all of their messages, groups the result, and takes a page of that; it
runs here as bare SQL on the same data, without a server.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from statistics import median
from typing import Any, cast
from urllib.parse import urlsplit

import psycopg
from rich.console import Console

from tests.bench.bounds import Report
from tests.bench.data import ROOT, Databases, environment
from tests.bench.first_token import Direct, medians_in_turn, product
from tests.bench.processes import announced
from tests.serving import serve

_FEW, _MANY = 10_000, 1_000_000  # sessions
_MESSAGES_PER_SESSION = 3
_PAGE_SIZE = 50
_GROWTH = 1.5
_TIMES_AUTOMAGIK = 20
_ADDED = 25  # ms
_REQUESTS = 40
_WARM_UP = 5
_QUERIES = 3

_SESSIONS = """
    INSERT INTO sessions (id, user_id, agent_id, name, platform, created_at, updated_at)
    SELECT gen_random_uuid(), %(user)s, %(agent)s, 'Chat ' || n, 'api',
           now() - n * interval '10 s', now() - n * interval '10 s'
    FROM generate_series(1, %(sessions)s) AS n
"""
_MESSAGES = """
    INSERT INTO messages (id, session_id, user_id, position, role, text_content, message_type,
                          created_at, updated_at)
    SELECT gen_random_uuid(), id, user_id, position,
           CASE WHEN position %% 2 = 1 THEN 'user' ELSE 'assistant' END,
           repeat('text ', 20), 'text', updated_at, updated_at
    FROM sessions, generate_series(1, %(each)s) AS position
"""
_AUTOMAGIKS_COUNT = "SELECT count(*) FROM sessions"
_AUTOMAGIKS_LIST = """
    SELECT s.*, a.name AS agent_name, count(m.id) AS message_count
    FROM sessions AS s
    LEFT JOIN agents AS a ON s.agent_id = a.id
    LEFT JOIN messages AS m ON s.id = m.session_id
    GROUP BY s.id, a.name
    ORDER BY s.updated_at DESC, s.created_at DESC
    LIMIT %s OFFSET 0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=_MANY)
    parser.add_argument("--rounds", type=int, default=3)


def run(options: argparse.Namespace, databases: Databases, console: Console) -> list[str]:
    """Print the figures; returns which bounds were missed."""
    report = Report("The API as sessions grow, and its streams")
    counts = (_FEW, options.sessions)
    filled = []
    for name, sessions in zip(("few", "many"), counts, strict=True):
        console.print(f"Loading {sessions:,} sessions …")
        url = databases.empty(f"bench_api_{name}")
        filled.append((url, fill(url, sessions)))
    with ExitStack() as stack:
        programs = []
        for url, key in filled:
            settings = {**environment(url), "DEBUG": "on", "HTTPS": "off"}
            server = stack.enter_context(serve(url, **settings, API_REQUESTS_PER_MINUTE="0"))
            programs.append(_Program(server.address, key))
        _report_growth(report, programs, counts, options.rounds)
        _report_rates(report, programs[1], filled[1][0], options.rounds)
    _report_first_token(report, databases.empty())
    console.print(report.table)
    return report.missed


def fill(url: str, sessions: int) -> str:
    """Make the tables, a user with so many sessions, and a key of the user; returns that."""
    _manage(url, "migrate", "--verbosity", "0")
    # Messages are not searched here, and their full-text index takes long to fill.
    statement = "DROP INDEX IF EXISTS messages_words"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)
        [user] = _row(
            connection,
            "INSERT INTO auth_user (username, password, first_name, last_name, email,"
            " is_superuser, is_staff, is_active, date_joined)"
            " VALUES ('program', '!', '', '', '', false, false, true, now()) RETURNING id",
        )
        [agent] = _row(connection, "SELECT id FROM agents WHERE name = 'simple'")
        connection.execute(_SESSIONS, {"user": user, "agent": agent, "sessions": sessions})
        connection.execute(_MESSAGES, {"each": _MESSAGES_PER_SESSION})
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
    return _manage(url, "create_api_key", "program").splitlines()[-1]


def _report_growth(
    report: Report, programs: Sequence["_Program"], counts: Sequence[int], rounds: int
) -> None:
    of_each = [program.some_sessions() for program in programs]

    def details(number: int) -> list[str]:
        """The path of some session of each program, a different one each time."""
        return [f"/api/v1/sessions/{some[number % len(some)]}" for some in of_each]

    kinds: list[tuple[str, Callable[[int], list[str]]]] = [
        ("GET /sessions", lambda _: ["/api/v1/sessions"] * 2),
        ("GET /sessions by cursor, far on", lambda _: [program.far_page for program in programs]),
        ("GET /sessions/{id}", details),
        ("GET /sessions/{name}", lambda number: [f"/api/v1/sessions/Chat%20{number + 1}"] * 2),
    ]
    for name, paths in kinds:
        measured = [_medians(programs, paths) for _ in range(rounds)]
        for side, count in enumerate(counts):
            label = f"{name}: {count:,} sessions"
            report.add(label, [times[side] * 1000 for times in measured], "{:.1f} ms")
        ratios = [many / few for few, many in measured]
        report.add(f"{name}: growth", ratios, "{:.2f}×", at_most=_GROWTH)


def _medians(programs: Sequence["_Program"], paths: Callable[[int], list[str]]) -> list[float]:
    """The median time of each program's request, in seconds."""
    times: list[list[float]] = [[] for _ in programs]
    for number in range(_REQUESTS):
        for program, path, own in zip(programs, paths(number), times, strict=True):
            started = time.perf_counter()
            program.get(path)
            own.append(time.perf_counter() - started)
    return [median(own[_WARM_UP:]) for own in times]


def _report_rates(report: Report, program: "_Program", url: str, rounds: int) -> None:
    """The requests per second, and how often per second Automagik's queries complete."""
    rates = []
    with psycopg.connect(url, autocommit=True) as connection:

        def query() -> None:
            connection.execute(_AUTOMAGIKS_COUNT).fetchall()
            rows = connection.execute(_AUTOMAGIKS_LIST, [_PAGE_SIZE]).fetchall()
            assert len(rows) == _PAGE_SIZE

        query()
        for _ in range(rounds):
            own = _per_second(lambda: program.get("/api/v1/sessions"), _REQUESTS)
            rates.append((own, _per_second(query, _QUERIES)))
    report.add("GET /sessions", [own for own, _ in rates], "{:.1f} / s")
    report.add("Automagik's query, raw", [theirs for _, theirs in rates], "{:.2f} / s")
    times = [own / theirs for own, theirs in rates]
    report.add("GET /sessions, beside that", times, "{:.0f}×", at_least=_TIMES_AUTOMAGIK)


def _per_second(do: Callable[[], object], times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        do()
    return times / (time.perf_counter() - started)


def _report_first_token(report: Report, url: str) -> None:
    with announced("tests.model_server") as model_url, product(url, model_url) as address:
        program = _Program(address, _manage(url, "create_api_key", "ana").splitlines()[-1])
        measured, alone = medians_in_turn(program, Direct(model_url))
    report.add("first token of a streamed run", [measured], "{:.1f} ms")
    report.add("from the model alone", [alone], "{:.1f} ms")
    report.add("added by the API", [measured - alone], "{:.1f} ms", at_most=_ADDED)


class _Program:
    """A client with a key, and a new connection for each request: the server closes idle ones."""

    def __init__(self, address: str, key: str) -> None:
        self._address = urlsplit(address).netloc
        self._headers = {
            "X-API-Key": key,
            "Content-Type": "application/json",
            "Connection": "close",
        }
        self._far_page: str | None = None

    @property
    def far_page(self) -> str:
        """A page of the list's other end."""
        if self._far_page is None:
            first = self.get("/api/v1/sessions?sort_desc=false")
            # A request's order decides in which direction its cursor leads.
            self._far_page = f"/api/v1/sessions?cursor={first['next_cursor']}"
        return self._far_page

    def some_sessions(self) -> list[str]:
        """The ids of sessions from both ends of the list."""
        lists = [self.get(f"/api/v1/sessions?sort_desc={end}") for end in ("true", "false")]
        return [row["session_id"] for found in lists for row in found["sessions"]]

    def get(self, path: str) -> Any:
        return json.loads(self._request("GET", path).read())

    def first_token(self) -> float:
        started = time.perf_counter()
        body = json.dumps({"message_content": "Hello"})
        stream = self._request("POST", "/api/v1/agent/simple/run", body)
        first, last = 0.0, ""
        for line in stream:
            kind = _chunk_kind(line)
            if kind == "text-delta":
                first = first or time.perf_counter() - started
            last = kind or last
        if not first or last != "finish":
            sys.exit(f"The stream ended with {last or 'nothing'}.")
        return first

    def _request(self, method: str, path: str, body: str | None = None) -> HTTPResponse:
        headers = self._headers | ({"Accept": "text/event-stream"} if body else {})
        connection = HTTPConnection(self._address)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"{method} {path} answered {response.status}: {response.read().decode()}")
        return response


def _chunk_kind(line: bytes) -> str:
    """The kind of the chunk in a line of a stream; empty when it has none."""
    data = line.removeprefix(b"data: ")
    return cast("str", json.loads(data)["type"]) if data.startswith(b"{") else ""


def _row(connection: psycopg.Connection[Any], statement: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row
    return tuple(row)


def _manage(url: str, *command: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env=environment(url),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
