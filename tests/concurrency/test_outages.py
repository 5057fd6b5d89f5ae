"""The database goes away, or is locked, while answers stream: none is lost, none stored twice."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client
from psycopg.rows import TupleRow

from agents_app.models import AgentRun
from sessions_app.models import Message
from tests.agents_app.chats import make_agent, make_user
from tests.concurrency.helpers import PATIENCE, Other, held_transaction, wait_until
from tests.concurrency.test_streams import ask, read_until
from tests.concurrency.test_workers import worker_process
from tests.conftest import ROOT, database_url
from tests.model_server import Answer, ToldModel, served_model
from tests.postgres import Cluster
from tests.serving import Server, serve

ANSWERS = 20
HEARTBEAT_TIMEOUT = 5
Worker = subprocess.Popen[bytes]
SOON = 5  # seconds; on an idle machine it is less than one

needs_postgres = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="restarts a PostgreSQL server"
)
needs_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="SQLite has one writer at a time"
)

SET_UP = """
from django.contrib.auth.models import User
from django.test import Client
from agents_app.models import Agent
client = Client()
client.force_login(User.objects.create_user("ana"))
print(client.cookies["sessionid"].value, Agent.objects.get_or_create(name="simple")[0].pk)
"""


class Chats:
    """A database server of their own, and what is in it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        environment = {"DATABASE_URL": cluster.url, "DEBUG": "on"}
        self._manage("migrate", "-v0", **environment)
        said = self._manage("shell", "-v0", "-c", SET_UP, **environment).split()
        self.cookies, self.agent_id = f"sessionid={said[0]}", int(said[1])

    def forget(self) -> None:
        self.query("TRUNCATE agent_runs, messages, sessions, procrastinate_jobs CASCADE")

    def query(self, statement: str) -> list[TupleRow]:
        with psycopg.connect(self.cluster.url, autocommit=True) as other:
            cursor = other.execute(statement)
            return list(cursor) if cursor.description else []

    def statuses(self) -> dict[str, int]:
        return dict(self.query("SELECT status, count(*) FROM agent_runs GROUP BY status"))

    def attempts(self) -> dict[tuple[str, int], int]:
        """How many runs have this status after so many attempts."""
        rows = self.query("SELECT status, attempt, count(*) FROM agent_runs GROUP BY 1, 2")
        return {(status, attempt): count for status, attempt, count in rows}

    def stored(self) -> list[TupleRow]:
        return self.query(
            "SELECT text_content, count(*) FROM messages WHERE role = 'assistant'"
            " GROUP BY session_id, text_content"
        )

    def _manage(self, *arguments: str, **environment: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout


@pytest.fixture(scope="module")
def own_cluster() -> Iterator[Chats]:
    cluster = Cluster()
    yield Chats(cluster)
    cluster.stop()


@pytest.fixture
def chats(own_cluster: Chats) -> Chats:
    own_cluster.forget()
    return own_cluster


def start_answers(
    server: Server, model: ToldModel, cookies: str, agent_id: int
) -> tuple[list[HTTPResponse], list[Answer]]:
    """What ANSWERS people watch, each with what the model says in it; all have begun."""
    streams, answers = [], []
    for _ in range(ANSWERS):
        streams.append(ask(server.address, cookies, agent_id))
        answers.append(model.asked().say("Good "))
    for stream in streams:
        read_until(stream, "Good")
    return streams, answers


def end(answers: list[Answer]) -> None:
    for answer in answers:
        answer.say("day")
        answer.end()


def ends_of(streams: list[HTTPResponse]) -> set[bytes]:
    ends = set()
    for stream in streams:
        read_until(stream, "event: end")
        ends.add(stream.readline().partition(b",")[0])
        stream.close()
    return ends


def environment(model: ToldModel, **more: Any) -> dict[str, str]:
    return {
        "AGENT_MODEL": "fake",
        "AGENT_BASE_URL": model.base_url,
        "AGENT_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AGENT_RUNS_PER_USER": str(ANSWERS),
        **more,
    }


DONE = b'data: {"status":"done"'


@needs_postgres
@pytest.mark.parametrize("pool", ["on", "off"])
def test_answers_that_end_while_the_server_restarts(chats: Chats, pool: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(chats.cluster.url, **environment(model, DATABASE_POOL=pool)) as server,
    ):
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        for number in range(6):
            chats.cluster.restart()
            end(answers[number::6])
        assert ends_of(streams) == {DONE}
    assert chats.statuses() == {"done": ANSWERS}
    assert chats.stored() == [("Good day", 1)] * ANSWERS


@needs_postgres
@pytest.mark.parametrize("pool", ["on", "off"])
def test_answers_that_end_while_the_server_is_away(chats: Chats, pool: str) -> None:
    """For longer than the heartbeat timeout, and seen by another process and by a new one."""
    with (
        served_model(ToldModel()) as model,
        serve(chats.cluster.url, **environment(model, DATABASE_POOL=pool)) as server,
        serve(chats.cluster.url, **environment(model, DATABASE_POOL=pool)) as other,
    ):
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        session_id, run_id = chats.query("SELECT session_id, id FROM agent_runs")[0]
        path = f"{other.address}/chats/{session_id}/runs/{run_id}/events"
        watching = urllib.request.Request(path, headers={"Cookie": chats.cookies})
        elsewhere = urllib.request.urlopen(watching, timeout=PATIENCE)
        read_until(elsewhere, "Good")
        chats.cluster.stop()
        end(answers[1:])
        time.sleep(2 * HEARTBEAT_TIMEOUT)  # not for anything to happen: this is the outage
        chats.cluster.restart()
        back_at = time.monotonic()
        assert ends_of(streams[1:]) == {DONE}
        assert time.monotonic() - back_at < SOON
        assert chats.statuses() == {"done": ANSWERS - 1, "running": 1}
        end(answers[:1])
        assert ends_of([streams[0], elsewhere]) == {DONE}
    assert chats.statuses() == {"done": ANSWERS}
    assert chats.stored() == [("Good day", 1)] * ANSWERS


@contextmanager
def site_with_workers(
    chats: Chats, model: ToldModel, **more: str
) -> Iterator[tuple[Server, list[Worker]]]:
    """A web process, and two workers."""
    shared = environment(model, ANSWERS_IN="workers", **more)
    url = chats.cluster.url
    with (
        serve(url, **shared) as server,
        worker_process(DATABASE_URL=url, **shared) as first,
        worker_process(DATABASE_URL=url, **shared) as second,
    ):
        yield server, [first, second]
        assert [first.poll(), second.poll()] == [None, None], "a worker has exited"


@needs_postgres
def test_workers_go_on_when_the_server_restarts(chats: Chats) -> None:
    with served_model(ToldModel()) as model, site_with_workers(chats, model) as (server, _):
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        for number in range(6):
            chats.cluster.restart()
            end(answers[number::6])
        assert ends_of(streams) == {DONE}
        chats.cluster.restart()
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        end(answers)
        assert ends_of(streams) == {DONE}
    assert chats.attempts() == {("done", 1): 2 * ANSWERS}
    assert chats.stored() == [("Good day", 1)] * 2 * ANSWERS


@needs_postgres
def test_workers_outlast_a_server_that_is_away(chats: Chats, tmp_path: Path) -> None:
    """For longer than the heartbeat timeout: no worker takes over what another one works on."""
    heartbeat = tmp_path / "heartbeat"
    with (
        served_model(ToldModel()) as model,
        site_with_workers(chats, model, WORKER_HEARTBEAT_FILE=str(heartbeat)) as (server, _),
    ):
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        chats.cluster.stop()
        end(answers[1:])
        os.utime(heartbeat, (0, 0))
        time.sleep(2 * HEARTBEAT_TIMEOUT)  # not for anything to happen: this is the outage
        wait_until(lambda: heartbeat.stat().st_mtime > 0)
        chats.cluster.restart()
        assert ends_of(streams[1:]) == {DONE}
        # Until the silence of the outage would have been noticed.
        watched_until = time.monotonic() + HEARTBEAT_TIMEOUT
        while time.monotonic() < watched_until:
            assert chats.attempts() == {("done", 1): ANSWERS - 1, ("running", 1): 1}
        end(answers[:1])
        assert ends_of(streams[:1]) == {DONE}
    assert chats.stored() == [("Good day", 1)] * ANSWERS


@needs_postgres
def test_slow_requests_hold_up_nothing_that_belongs_to_answers(chats: Chats) -> None:
    """They have all of the pool's connections, for longer than the heartbeat timeout."""
    with (
        served_model(ToldModel()) as model,
        serve(chats.cluster.url, **environment(model, DATABASE_POOL="on")) as server,
        serve(chats.cluster.url, **environment(model)),
        psycopg.connect(chats.cluster.url) as lock,
    ):
        streams, answers = start_answers(server, model, chats.cookies, chats.agent_id)
        started = chats.query("SELECT clock_timestamp()")[0][0]
        lock.execute("LOCK TABLE django_session IN ACCESS EXCLUSIVE MODE")
        page = urllib.request.Request(f"{server.address}/chats/", headers={"Cookie": chats.cookies})
        slow = [
            Other(lambda: urllib.request.urlopen(page, timeout=PATIENCE).status) for _ in range(8)
        ]
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        wait_until(lambda: chats.query(waiting)[0][0] >= 4)
        for answer in answers:
            answer.say("and much more ")
        grown = "SELECT count(*) FROM agent_runs WHERE text = 'Good and much more '"
        wait_until(lambda: chats.query(grown)[0][0] == ANSWERS)
        # Not of processes that an earlier test has killed, whose rows stay for a while.
        beaten = (
            "SELECT count(*) FROM worker_processes WHERE heartbeat_at > "
            f"'{started.isoformat()}'::timestamptz + interval '{2 * HEARTBEAT_TIMEOUT} s'"
        )
        while chats.query(beaten)[0][0] < 2:
            assert chats.statuses() == {"running": ANSWERS}
        end(answers)
        assert ends_of(streams) == {DONE}
        lock.rollback()
        assert {request.result() for request in slow} == {200}
    assert chats.stored() == [("Good and much more day", 1)] * ANSWERS


@needs_sqlite
@pytest.mark.django_db(transaction=True)
def test_answers_that_end_while_somebody_else_writes_for_long() -> None:
    """Longer than the heartbeat timeout: neither the rows nor the pages presume anybody dead."""
    client = Client()
    client.force_login(make_user())
    cookies = f"sessionid={client.cookies['sessionid'].value}"
    agent = make_agent()
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), **environment(model)) as server,
        serve(database_url(), **environment(model)),
    ):
        streams, answers = start_answers(server, model, cookies, agent.pk)
        with held_transaction(lambda: None) as commit:
            end(answers[1:])
            held_until = time.monotonic() + 2 * HEARTBEAT_TIMEOUT
            while time.monotonic() < held_until:
                assert AgentRun.objects.active().count() == ANSWERS
                assert b"is being answered" in client.get("/chats/").content
            commit()
            free_at = time.monotonic()
        assert ends_of(streams[1:]) == {DONE}
        assert time.monotonic() - free_at < SOON
        end(answers[:1])
        assert ends_of(streams[:1]) == {DONE}
    assert list(AgentRun.objects.values_list("status", flat=True)) == ["done"] * ANSWERS
    assert Message.objects.filter(role="assistant", text_content="Good day").count() == ANSWERS
