"""/metrics: who may read it, what it says, and what it costs."""

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from agents_app import services
from agents_app.models import Agent, AgentRun, WorkerProcess
from agents_app.runs.metrics import observe_end, observe_first_token
from config import metrics
from sessions_app.models import CleanupRun
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db

Samples = dict[tuple[str, str], float]


@pytest.fixture(autouse=True)
def nothing_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    from prometheus_client import CollectorRegistry

    fresh = CollectorRegistry()
    fresh.register(metrics._DatabaseCollector())
    monkeypatch.setattr(metrics, "_database", fresh)


def scrape(client: Client, **options: Any) -> Samples:
    """The samples by name and by the value of their label."""
    response = client.get("/metrics", **options)
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])
def test_without_a_token_this_machine_may_read(client: Client, address: str) -> None:
    assert client.get("/metrics", REMOTE_ADDR=address).status_code == 200


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1", "", "nonsense"])
def test_without_a_token_others_may_not(client: Client, address: str) -> None:
    response = client.get("/metrics", REMOTE_ADDR=address)
    assert response.status_code == 403
    assert not response.content


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "x-forwarded-for"]
)
@pytest.mark.parametrize("value", ["10.0.0.1", "127.0.0.1", ""])
def test_a_proxy_on_this_machine_may_not_either(client: Client, header: str, value: str) -> None:
    assert client.get("/metrics", headers={header: value}).status_code == 403


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("Bearer right-token", 200),
        ("bearer right-token", 200),
        ("Bearer wrong-token", 401),
        ("Bearer right-token2", 401),
        ("Bearer ", 401),
        ("Basic right-token", 401),
        ("right-token", 401),
        ("Bearer sch\u00fcssel", 401),
        (None, 401),
    ],
)
def test_with_a_token_it_is_needed_from_everywhere(
    client: Client, settings: Any, authorization: str | None, status: int
) -> None:
    settings.METRICS_TOKEN = "right-token"
    headers = {} if authorization is None else {"Authorization": authorization}
    for address in ("127.0.0.1", "10.0.0.1"):
        response = client.get("/metrics", headers=headers, REMOTE_ADDR=address)
        assert response.status_code == status
    if status == 401:
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert not response.content


def test_a_scraper_asks_for_an_address_over_plain_http(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["chat.example.org"]
    assert client.get("/metrics", headers={"Host": "10.1.2.3:8000"}).status_code == 200
    assert client.post("/metrics").status_code == 405


def test_runs_by_status(client: Client) -> None:
    ana = User.objects.create_user("ana")
    agent = Agent.objects.get_or_create(name="simple")[0]
    runs = [
        services.start_session(user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4())
        for _ in range(4)
    ]
    runs[0].finish(AgentRun.Status.DONE)
    AgentRun.objects.filter(pk=runs[1].pk).update(status="running")
    runs[2].finish(AgentRun.Status.FAILED)
    AgentRun.objects.filter(pk=runs[2].pk).update(created_at=timezone.now() - timedelta(hours=2))
    found = scrape(client)
    assert found["chat_active_runs", "pending"] == 1
    assert found["chat_active_runs", "running"] == 1
    assert found["chat_recent_runs", "done"] == 1
    assert found["chat_recent_runs", "failed"] == 0, "it is older than an hour"
    assert found["chat_recent_runs", "interrupted"] == 0


def test_sessions_by_kind(client: Client) -> None:
    make_session(name="Mine")
    for _ in range(3):
        phantom()
    found = scrape(client)
    assert found["chat_sessions", "removal_candidate"] == 3
    assert found["chat_sessions", "other"] == 1
    assert found["chat_sessions", "trashed"] == 0
    assert found["chat_removable_sessions", ""] == 3


def test_the_trash_is_a_kind_by_itself(client: Client) -> None:
    for trashed_at in (None, timezone.now()):
        make_session(name="Mine", trashed_at=trashed_at)
        say(phantom(trashed_at=trashed_at))
    phantom(trashed_at=timezone.now())
    found = scrape(client)
    assert found["chat_sessions", "removal_candidate"] == 1
    assert found["chat_sessions", "other"] == 1
    assert found["chat_sessions", "trashed"] == 3
    assert found["chat_removable_sessions", ""] == 1, "a cleanup removes from the trash, too"


def test_many_sessions_are_estimated(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "COUNT_LIMIT", 5)
    for _ in range(8):
        phantom()
    for _ in range(7):
        make_session(name="Mine")
    for _ in range(6):
        make_session(name="Mine", trashed_at=timezone.now())
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sessions")
    found = scrape(client)
    if connection.vendor == "postgresql":
        assert found["chat_sessions", "removal_candidate"] == 8
        assert found["chat_sessions", "other"] == 7
        assert found["chat_sessions", "trashed"] == 6
    else:
        assert found["chat_sessions", "removal_candidate"] == 5
    assert found["chat_removable_sessions", ""] == 5


def test_removable_is_counted_once_a_minute(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scrape(client)["chat_removable_sessions", ""] == 0
    phantom()
    assert scrape(client)["chat_removable_sessions", ""] == 0
    later = time.monotonic() + 61
    monkeypatch.setattr("config.metrics.time", SimpleNamespace(monotonic=lambda: later))
    assert scrape(client)["chat_removable_sessions", ""] == 1


def test_the_last_cleanup(client: Client) -> None:
    assert not [name for name, _ in scrape(client) if name.startswith("chat_last_cleanup")]
    phantom()
    call_command("cleanup_sessions", verbosity=0)
    run = CleanupRun.objects.get()
    CleanupRun.objects.filter(pk=run.pk).update(finished_at=timezone.now() - timedelta(minutes=5))
    found = scrape(client)
    assert found["chat_last_cleanup_status", "done"] == 1
    assert found["chat_last_cleanup_status", "failed"] == 0
    assert 300 <= found["chat_last_cleanup_age_seconds", ""] < 310
    assert found["chat_last_cleanup_removed_sessions", ""] == 1


def test_what_runs_observe(client: Client) -> None:
    before = scrape(client)
    observe_first_token(0.2)
    observe_end("done", 3)
    found = scrape(client)

    def added(name: str, label: str = "") -> float:
        return found[name, label] - before.get((name, label), 0)

    assert added("chat_first_token_seconds_count") == 1
    assert added("chat_first_token_seconds_bucket", "0.1") == 0
    assert added("chat_first_token_seconds_bucket", "0.25") == 1
    assert added("chat_answer_seconds_sum") == 3
    assert added("chat_runs_ended_total", "done") == 1


def test_times_of_recent_answers_of_all_processes(client: Client) -> None:
    assert ("chat_recent_answer_seconds", "0.5") not in scrape(client)
    ana = User.objects.create_user("ana")
    agent = Agent.objects.get_or_create(name="simple")[0]
    for seconds in range(10):
        run = services.start_session(
            user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4()
        )
        AgentRun.objects.filter(pk=run.pk).update(
            status="done",
            first_token_at=run.created_at + timedelta(seconds=seconds),
            finished_at=run.created_at + timedelta(seconds=10 * seconds),
        )
    found = scrape(client)
    assert found["chat_recent_first_token_seconds", "0.5"] == 5
    assert found["chat_recent_answer_seconds", "0.5"] == 50
    assert found["chat_recent_answer_seconds", "0.9"] == 90
    assert found["chat_recent_answer_seconds", "0.99"] == 90


def test_the_largest_save_lag_of_the_processes_that_are_alive(client: Client) -> None:
    assert scrape(client)["chat_save_lag_seconds", ""] == 0
    for lag, silent_for in ((0.25, 0), (0.5, 0), (7, 3600)):
        heartbeat_at = timezone.now() - timedelta(seconds=silent_for)
        WorkerProcess.objects.create(host="a", pid=1, save_lag=lag, heartbeat_at=heartbeat_at)
    found = scrape(client)
    assert found["chat_answering_processes", ""] == 2
    assert found["chat_save_lag_seconds", ""] == 0.5


def test_without_the_database_the_process_still_answers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scrape(client)

    def fails() -> Iterator[Any]:
        raise OperationalError("away")

    monkeypatch.setattr(metrics, "_sessions", fails)
    found = scrape(client)
    assert ("chat_sessions", "other") not in found
    assert found["chat_metrics_errors_total", ""] == before["chat_metrics_errors_total", ""] + 1


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="PostgreSQL's statement_timeout")
def test_a_slow_count_is_given_up_on(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "STATEMENT_TIMEOUT", "50ms")

    def slow(*_: Any) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(10)")
        return 0

    monkeypatch.setattr(metrics, "_capped_count", slow)
    monkeypatch.setattr(metrics, "_sessions", lambda: iter(()))
    found = scrape(client)
    assert ("chat_removable_sessions", "") not in found
    assert ("chat_active_runs", "pending") in found


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite has one writer at a time")
@pytest.mark.django_db(transaction=True)
def test_a_scrape_locks_out_no_writer(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        scrape(client)
    assert len(queries) == 8
    assert not [query for query in queries.captured_queries if "BEGIN" in query["sql"]]
