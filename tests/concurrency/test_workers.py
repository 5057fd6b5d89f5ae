"""Answers by worker processes: streamed elsewhere, taken over from the dead, handed back."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.client import HTTPResponse
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.utils import timezone
from procrastinate.contrib.django import app

from agents_app.models import Agent, AgentRun, WorkerProcess
from sessions_app.models import CleanupRun, Message, Session
from tests.agents_app.chats import make_agent, make_user
from tests.concurrency.helpers import PATIENCE, wait_until
from tests.concurrency.test_streams import ask, post, read_until
from tests.conftest import ROOT, database_url
from tests.factories import phantom
from tests.model_server import ToldModel, ToolCall, served_model
from tests.serving import Server, serve

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
]

CAN_NAME_HOSTS = (
    subprocess.call(["unshare", "--uts", "hostname", "x"], stderr=subprocess.DEVNULL) == 0
)
MANAGE = ["manage.py"]
WITH_TOOLS = ["-m", "tests.agents_app.api.tool_agents"]
ANSWERS = 20
PHANTOMS = 20_000  # whose removal takes a while


class Site:
    """A web process, any number of workers, and the model that they ask."""

    def __init__(self, stack: ExitStack, **environment: str) -> None:
        self.model = stack.enter_context(served_model(ToldModel()))
        self._stack = stack
        self._environment = {
            "ANSWERS_IN": "workers",
            "AGENT_MODEL": "fake",
            "AGENT_BASE_URL": self.model.base_url,
            "AGENT_RUNS_PER_USER": str(ANSWERS),
            "AGENT_HEARTBEAT_TIMEOUT": "5",
            **environment,
        }
        self.web: Server = stack.enter_context(serve(database_url(), **self._environment))
        self.agent: Agent = make_agent()
        self.client = Client()
        self.client.force_login(make_user())
        self._cookies = f"sessionid={self.client.cookies['sessionid'].value}"

    def worker(self, host: str = "", program: Sequence[str] = MANAGE) -> subprocess.Popen[bytes]:
        return self._stack.enter_context(worker_process(host, program=program, **self._environment))

    def another_web_process(self) -> Server:
        return self._stack.enter_context(serve(database_url(), **self._environment))

    def ask(self, web: Server | None = None) -> HTTPResponse:
        return ask((web or self.web).address, self._cookies, self.agent.pk)

    def post(self, path: str, **form: object) -> HTTPResponse:
        return post(self.web.address + path, self._cookies, form)


@contextmanager
def worker_process(
    host: str = "",
    *,
    program: Sequence[str] = MANAGE,
    arguments: Sequence[str] = (),
    **environment: str,
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker, with that host name if one is given."""
    elsewhere = ["unshare", "--uts", "sh", "-c", f'hostname {host}; exec "$@"', "sh"]
    process = subprocess.Popen(
        [
            *(elsewhere if host else []),
            *[sys.executable, *program, "procrastinate", "worker", "--concurrency=20"],
            *arguments,
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DEBUG": "on",
            **environment,
        },
        stdin=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """A site, with the settings that a test is parametrized with, if any."""
    with ExitStack() as stack:
        yield Site(stack, **getattr(request, "param", {}))


def transcript() -> list[tuple[str, str]]:
    rows = Message.objects.order_by("session_id", "position")
    return list(rows.values_list("role", "text_content"))


def test_worker_answers_and_the_web_process_streams_it(site: Site) -> None:
    site.worker()
    stream = site.ask()
    answer = site.model.asked().say("Good ")
    read_until(stream, "Good")
    answer.say("day")
    answer.end()
    read_until(stream, '"status":"done"')
    assert transcript() == [("user", "Hello"), ("assistant", "Good day")]


def test_job_is_committed_with_its_run(site: Site) -> None:
    stream = site.ask()
    assert AgentRun.objects.get().status == "pending"
    site.worker()
    site.model.asked().say("At last").end()
    read_until(stream, '"status":"done"')


def test_runs_of_a_killed_worker_are_answered_by_another(site: Site) -> None:
    first = site.worker()
    streams = [site.ask() for _ in range(ANSWERS)]
    for answer in [site.model.asked() for _ in streams]:
        answer.say("As far as this")
    for stream in streams:
        read_until(stream, "As far as this")
    site.worker()
    first.kill()
    answers = [site.model.asked().say("From the start") for _ in streams]
    for stream in streams:
        read_until(stream, '"reset":true')
    for answer in answers:
        answer.end()
    for stream in streams:
        read_until(stream, '"status":"done"')
    assert transcript() == [("user", "Hello"), ("assistant", "From the start")] * len(streams)
    assert set(AgentRun.objects.values_list("attempt", flat=True)) == {2}


def test_run_of_a_worker_that_is_killed_while_it_uses_a_tool(site: Site, tmp_path: Path) -> None:
    file, calls = tmp_path / "file", tmp_path / "calls"
    call = ToolCall("wait_for_file", {"path": str(file)})
    first = site.worker(program=WITH_TOOLS)
    stream = site.ask()
    site.model.asked().say("Let me look. ", call).end()
    read_until(stream, "Let me look.")
    wait_until(calls.exists)
    site.worker(program=WITH_TOOLS)
    first.kill()
    site.model.asked().say("I will look. ", call).end()
    read_until(stream, '"reset":true')
    file.touch()
    site.model.asked().say("There it is.").end()
    read_until(stream, '"status":"done"')
    assert len(calls.read_text().splitlines()) == 2
    assert [role for role, _ in transcript()] == ["user", "assistant", "tool", "assistant"]
    assert [text for role, text in transcript() if role == "assistant"] == [
        "I will look. ",
        "There it is.",
    ]


def test_run_whose_workers_keep_dying_fails_and_can_be_retried(site: Site) -> None:
    stream = site.ask()
    for attempt in ("First", "Second", "Third"):
        worker = site.worker()
        answer = site.model.asked().say(attempt)
        read_until(stream, attempt)
        worker.kill()
        answer.end()
    site.worker()
    read_until(stream, "event: end")
    end = stream.readline().decode()
    assert '"status":"failed"' in end
    assert "data-retry" in end
    assert not Message.objects.filter(role="assistant").exists()
    run = AgentRun.objects.get()
    retried = site.post(f"/chats/{run.session_id}/runs/{run.pk}/retry/")
    site.model.asked().say("Good day").end()
    read_until(retried, '"status":"done"')
    assert transcript() == [("user", "Hello"), ("assistant", "Good day")]


@pytest.mark.skipif(not CAN_NAME_HOSTS, reason="needs a namespace for host names")
def test_workers_on_two_machines_of_which_one_dies(site: Site) -> None:
    first, second = site.worker("machine-1"), site.worker("machine-2")
    streams = [site.ask() for _ in range(ANSWERS)]
    answers = [site.model.asked() for _ in streams]
    for answer in answers:
        answer.say("As far as this")
    for stream in streams:
        read_until(stream, "As far as this")
    hosts = dict(WorkerProcess.objects.values_list("pk", "host"))
    by_host = Counter(hosts[run.process_id] for run in AgentRun.objects.all() if run.process_id)
    assert {"machine-1", "machine-2"} >= set(by_host)
    assert by_host.total() == ANSWERS
    first.kill()
    for answer in answers:
        answer.end()  # what the second one works on is complete
    for _ in range(by_host["machine-1"]):
        answer = site.model.asked().say("From the start")
        answer.end()
    for stream in streams:
        read_until(stream, '"status":"done"')
    assert second.poll() is None
    said = Counter(text for role, text in transcript() if role == "assistant")
    assert said == Counter(
        {"As far as this": by_host["machine-2"], "From the start": by_host["machine-1"]}
    )


def test_rolling_restart_loses_no_answer(site: Site) -> None:
    """Web processes and workers are replaced one after the other, while people ask and watch."""
    workers = [site.worker(), site.worker()]
    webs = [site.web, site.another_web_process()]
    for number in range(4):
        streams = [site.ask(web) for web in webs for _ in range(2)]
        for _ in streams:
            site.model.asked().say("As far as this")
        if number % 2:
            webs.append(site.another_web_process())
            webs.pop(0).process.terminate()
        else:
            workers.append(site.worker())
            workers.pop(0).terminate()
        site.model.release()
        wait_until(lambda: not AgentRun.objects.active().exists(), site.model.release)
        for stream in streams:
            stream.close()
    assert set(AgentRun.objects.values_list("status", flat=True)) == {"done"}
    assert Message.objects.filter(role="assistant").count() == AgentRun.objects.count() == 16


def test_worker_that_is_told_to_stop_hands_its_runs_back(site: Site) -> None:
    first = site.worker()
    stream = site.ask()
    site.model.asked().say("As far as this")
    read_until(stream, "As far as this")
    site.worker()
    first.send_signal(signal.SIGTERM)
    site.model.asked().say("From the start").end()
    read_until(stream, '"status":"done"')
    assert first.wait(PATIENCE) == 0
    assert transcript() == [("user", "Hello"), ("assistant", "From the start")]
    assert Session.objects.count() == 1


def test_worker_that_is_told_to_stop_finishes_what_it_can(site: Site) -> None:
    first = site.worker()
    stream = site.ask()
    answer = site.model.asked().say("Good ")
    read_until(stream, "Good")
    first.terminate()
    site.worker()
    # Answered by the second one, so that the first has had time to hand back what it works on.
    another = site.ask()
    site.model.asked().say("Good evening").end()
    read_until(another, '"status":"done"')
    answer.say("day").end()
    read_until(stream, '"status":"done"')
    assert first.wait(PATIENCE) == 0
    assert set(AgentRun.objects.values_list("attempt", flat=True)) == {1}


@pytest.mark.parametrize("site", [{"AGENT_RUNS_PER_USER": "2"}], indirect=True)
def test_whoever_waits_longest_gets_what_is_free_of_a_share(site: Site) -> None:
    """Also while the run goes on that it was to follow."""
    site.worker()
    streams, answers = [], []
    for _ in range(2):
        streams.append(site.ask())
        answers.append(site.model.asked())
    streams += [site.ask(), site.ask()]
    first, second = answers
    second.say("Good day").end()
    for _ in range(2):
        site.model.asked().say("Good day").end()
    for stream in streams[1:]:
        read_until(stream, '"status":"done"')
    assert AgentRun.objects.active().count() == 1
    first.say("Good day").end()
    read_until(streams[0], '"status":"done"')


def test_job_that_a_worker_never_learned_of_is_done(site: Site) -> None:
    """As when the connection breaks before a worker is told which job it has fetched."""
    stream = site.ask()
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id")
        worker_id = cursor.fetchone()[0]
        cursor.execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", [worker_id])
        assert cursor.fetchone()[0]
    site.worker()
    site.model.asked().say("At last").end()
    read_until(stream, '"status":"done"')
    assert transcript() == [("user", "Hello"), ("assistant", "At last")]


def test_run_of_a_web_process_that_died_can_be_retried(site: Site) -> None:
    """Of one that answered by itself, before there were workers: it has no job."""
    stream = site.ask()
    stream.close()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")
    silent = timezone.now() - timedelta(minutes=1)
    AgentRun.objects.update(status="running", process_id=uuid4(), heartbeat_at=silent)
    wait_until(lambda: AgentRun.objects.get().has_failed)


def test_waiting_for_a_worker_is_no_death(site: Site) -> None:
    site.ask().close()
    AgentRun.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    with override_settings(ANSWERS_IN="workers"):
        assert AgentRun.objects.with_current_status().get().current_status == "pending"


def test_worker_that_is_told_to_stop_hands_its_cleanup_back() -> None:
    Session.objects.bulk_create(
        Session(name=f"Session-{number}", platform="automagik") for number in range(PHANTOMS)
    )
    app.configure_task("cleanup_sessions", queue="maintenance").defer(timestamp=0)
    with worker_process(arguments=["--shutdown-graceful-timeout=0"]) as first:
        wait_until(lambda: CleanupRun.objects.filter(removed__gt=0).exists())
        first.terminate()
        assert first.wait(PATIENCE) == 0
    stopped = CleanupRun.objects.get()
    assert stopped.status == "partial"
    assert stopped.removed == PHANTOMS - Session.objects.count()
    with worker_process():
        wait_until(lambda: CleanupRun.objects.filter(status="done").exists())
    assert not Session.objects.exists()


def test_cleanup_is_started_by_one_of_the_workers() -> None:
    phantom()
    schedule = {"ANSWERS_IN": "workers", "CLEANUP_SCHEDULE": "* * * * * *"}  # every second
    with worker_process(**schedule), worker_process(**schedule):
        wait_until(lambda: CleanupRun.objects.filter(removed=1, status="done").exists())
        first = CleanupRun.objects.order_by("pk")[0]
        wait_until(lambda: CleanupRun.objects.count() > 2)
    assert (first.source, first.removed) == ("schedule", 1)
    started = list(CleanupRun.objects.values_list("started_at", flat=True))
    seconds = {moment.replace(microsecond=0) for moment in started}
    assert len(started) <= len(seconds) + 1, "once, however many workers there are"
