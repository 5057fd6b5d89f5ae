"""Many answers that stream at once, from a real server."""

import os
import signal
import subprocess
import time
import urllib.request
import uuid
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from agents_app.models import Agent, AgentRun
from sessions_app.models import Message
from tests.agents_app.chats import make_agent, make_user
from tests.concurrency.helpers import PATIENCE, wait_until
from tests.conftest import database_url
from tests.model_server import ToldModel, served_model
from tests.serving import serve

pytestmark = pytest.mark.django_db(transaction=True)

STREAMS = 12
OWN_CONNECTIONS = 5  # that a process keeps for all of its runs together


def ask(address: str, cookies: str, agent_id: int) -> HTTPResponse:
    """Start a chat, and watch its answer."""
    form = {"agent": agent_id, "text": "Hello", "message_id": str(uuid.uuid4())}
    return post(f"{address}/chats/", cookies, form)


def post(url: str, cookies: str, form: dict[str, object]) -> HTTPResponse:
    """Send a form as the page's script does, and watch the answer that it starts."""
    token = "t" * 32
    request = urllib.request.Request(
        url,
        urlencode(form).encode(),
        {
            "Accept": "text/event-stream",
            "Accept-Encoding": "gzip",
            "Cookie": f"{cookies}; csrftoken={token}",
            "X-CSRFToken": token,
        },
    )
    response: HTTPResponse = urllib.request.urlopen(request, timeout=PATIENCE)
    return response


def read_until(stream: HTTPResponse, text: str) -> None:
    while text.encode() not in (line := stream.readline()):
        assert line, f"the stream ended before {text!r}"


def other_connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture
def cookies() -> str:
    client = Client()
    client.force_login(make_user())
    return f"sessionid={client.cookies['sessionid'].value}"


@pytest.mark.skipif(
    os.environ.get("TEST_DATABASE") == "pgbouncer",
    reason="PgBouncer keeps connections open that nobody holds",
)
def test_streams_hold_no_connection_while_tokens_flow(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        # Without the pool, which keeps connections open that nobody holds.
        serve(
            database_url(),
            AGENT_MODEL="fake",
            AGENT_BASE_URL=model.base_url,
            AGENT_RUNS_PER_USER=str(STREAMS),
            DATABASE_POOL="off",
        ) as server,
    ):
        streams = [ask(server.address, cookies, agent.pk) for _ in range(STREAMS)]
        answers = [model.asked() for _ in streams]
        for answer in answers:
            answer.say("Good ")
        for stream in streams:
            assert stream.headers["Content-Encoding"] == "identity"
            read_until(stream, "Good")
        if connection.vendor == "postgresql":
            deadline = time.monotonic() + PATIENCE
            while other_connections() > OWN_CONNECTIONS:
                assert time.monotonic() < deadline, "connections are held"
        for answer in answers:
            answer.say("day")
            answer.end()
        for stream in streams:
            read_until(stream, "event: end")
            stream.close()
    assert set(AgentRun.objects.values_list("status", flat=True)) == {"done"}


@pytest.mark.skipif(
    os.environ.get("TEST_DATABASE") == "pgbouncer",
    reason="PgBouncer keeps connections open that nobody holds",
)
def test_runs_that_wait_hold_no_connection_and_no_thread(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(
            database_url(),
            **settings_for(model, AGENT_RUNS_PER_USER="1", DATABASE_POOL="off"),
        ) as server,
    ):
        threads = Path(f"/proc/{server.process.pid}/task")
        streams = [ask(server.address, cookies, agent.pk)]
        answer = model.asked().say("Good ")
        read_until(streams[0], "Good")
        before = len(list(threads.iterdir()))
        for _ in range(STREAMS):
            streams.append(ask(server.address, cookies, agent.pk))
            read_until(streams[-1], "event: waiting")
        assert len(list(threads.iterdir())) - before < STREAMS / 2
        if connection.vendor == "postgresql":
            wait_until(lambda: other_connections() <= OWN_CONNECTIONS)
        answer.say("day").end()
        for _ in range(STREAMS):
            model.asked().say("Good evening").end()
        for stream in streams:
            read_until(stream, '"status":"done"')


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "terminated"])
def test_server_that_stops_ends_its_streams(agent: Agent, cookies: str, sent: int) -> None:
    """All at once, or the server would log that it waits no longer. Watchers can come back."""
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), subprocess.PIPE, **settings_for(model)) as server,
    ):
        streams = [ask(server.address, cookies, agent.pk) for _ in range(STREAMS)]
        answers = [model.asked().say("As far as this") for _ in streams]
        for stream in streams:
            read_until(stream, "As far as this")
        server.process.send_signal(sent)
        for stream in streams:
            read_until(stream, "event: end")
            end = stream.readline().decode()
            assert '"status":"interrupted"' in end
            assert "data-retry" in end
            stream.close()
        _, errors = server.process.communicate(timeout=PATIENCE)
        for answer in answers:
            answer.end()
    assert errors == ""
    ended = AgentRun.objects.values_list("status", "text")
    assert list(ended) == [("interrupted", "As far as this")] * STREAMS


def test_server_that_stops_lets_answers_end(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), **settings_for(model, AGENT_GRACE_SECONDS="4")) as server,
    ):
        stream = ask(server.address, cookies, agent.pk)
        answer = model.asked().say("Good ")
        read_until(stream, "Good")
        server.process.terminate()
        answer.say("day").end()
        read_until(stream, '"status":"done"')
    assert Message.objects.get(role="assistant").text_content == "Good day"


def test_run_goes_on_when_the_one_who_asked_has_gone(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), AGENT_MODEL="fake", AGENT_BASE_URL=model.base_url) as server,
    ):
        stream = ask(server.address, cookies, agent.pk)
        answer = model.asked().say("Whoever ")
        read_until(stream, "Whoever")
        stream.close()
        run = AgentRun.objects.get()
        events = reverse("chat-events", kwargs={"session_id": run.session_id, "run_id": run.pk})
        request = urllib.request.Request(server.address + events, headers={"Cookie": cookies})
        with urllib.request.urlopen(request, timeout=PATIENCE) as watched:
            answer.say("listens")
            answer.end()
            read_until(watched, "event: end")
    assert AgentRun.objects.get().status == "done"
    assert Message.objects.get(role="assistant").text_content == "Whoever listens"


def test_without_a_model_staff_are_told_what_to_set(agent: Agent, cookies: str) -> None:
    with serve(database_url(), AGENT_MODEL="", AGENT_BASE_URL="") as server:
        stream = ask(server.address, cookies, agent.pk)
        read_until(stream, "event: end")
        end = stream.readline().decode()
    assert '"status":"failed"' in end
    assert "The model is not set up. Staff have been notified." in end
    assert "AGENT_MODEL" not in end
    assert "No model is set up. Set AGENT_MODEL to local" in AgentRun.objects.get().error


def test_answers_of_a_killed_server_can_be_retried_at_another(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), **settings_for(model)) as killed,
        serve(database_url(), **settings_for(model)) as other,
    ):
        streams = [ask(killed.address, cookies, agent.pk) for _ in range(STREAMS)]
        answers = [model.asked().say("As far as this") for _ in streams]
        runs = AgentRun.objects.filter(text="As far as this")
        wait_until(lambda: runs.count() == STREAMS)
        paths = [
            f"{other.address}/chats/{run.session_id}/runs/{run.pk}/"
            for run in AgentRun.objects.all()
        ]
        requests = [
            urllib.request.Request(f"{path}events", headers={"Cookie": cookies}) for path in paths
        ]
        watched = [urllib.request.urlopen(request, timeout=PATIENCE) for request in requests]
        killed.process.kill()
        for answer in answers:
            answer.end()
        for stream in watched:
            read_until(stream, "event: end")
            end = stream.readline().decode()
            assert '"status":"interrupted"' in end
            assert "data-retry" in end
        assert runs.filter(status="interrupted").count() == STREAMS
        for path in paths:
            retried = post(f"{path}retry/", cookies, {})
            model.asked().say("From the start").end()
            read_until(retried, '"status":"done"')
    texts = Message.objects.filter(role="assistant").values_list("text_content", flat=True)
    assert list(texts) == ["From the start"] * STREAMS
    assert runs.count() == STREAMS, "what had come is kept"


def test_share_of_a_user_holds_for_all_processes_together(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), **settings_for(model, AGENT_RUNS_PER_USER="2")) as first,
        serve(database_url(), **settings_for(model, AGENT_RUNS_PER_USER="2")) as second,
    ):
        asked = [ask(server.address, cookies, agent.pk) for server in (first, second)]
        answers = [model.asked() for _ in asked]
        waiting = [ask(server.address, cookies, agent.pk) for server in (first, second)]
        for stream in waiting:
            read_until(stream, "event: waiting")
        assert len(model.requests) == 2
        for _ in waiting:
            answers.pop(0).say("Good day").end()
            answers.append(model.asked())
        assert len(model.requests) == 4
        for answer in answers:
            answer.say("Good day").end()
        for stream in asked + waiting:
            read_until(stream, '"status":"done"')


def test_run_that_waits_can_be_stopped(agent: Agent, cookies: str) -> None:
    with (
        served_model(ToldModel()) as model,
        serve(database_url(), **settings_for(model, AGENT_RUNS_PER_USER="1")) as server,
        serve(database_url(), **settings_for(model, AGENT_RUNS_PER_USER="1")) as other,
    ):
        ask(server.address, cookies, agent.pk).close()
        answer = model.asked()
        for _ in range(2):
            waiting = ask(other.address, cookies, agent.pk)
            run = AgentRun.objects.order_by("created_at").last()
            assert run
            run.finish(AgentRun.Status.STOPPED)
            read_until(waiting, '"status":"stopped"')
        waiting = ask(other.address, cookies, agent.pk)
        other.process.terminate()
        read_until(waiting, '"status":"interrupted"')
        assert len(model.requests) == 1
        answer.say("Good day").end()


def settings_for(model: ToldModel, **more: str) -> dict[str, str]:
    return {
        "AGENT_MODEL": "fake",
        "AGENT_BASE_URL": model.base_url,
        "AGENT_HEARTBEAT_TIMEOUT": "5",
        "AGENT_RUNS_PER_USER": str(STREAMS),
        **more,
    }
