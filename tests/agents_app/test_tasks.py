"""The periodic jobs, as workers do them."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings as project_settings
from django.db import connection, transaction
from django.utils import timezone
from procrastinate.contrib.django import app
from pytest_django import Settings

from agents_app.chats import trash
from agents_app.models import AgentRun
from agents_app.runs import dispatch
from agents_app.services import start_session
from sessions_app.models import Session
from tests.agents_app.chats import answered, make_agent, make_user
from tests.concurrency.helpers import Other

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="workers need PostgreSQL"),
]


def jobs() -> Any:
    model: Any = apps.all_models["procrastinate"]["procrastinatejob"]
    return model.objects.all()


def test_a_worker_empties_the_trash(manage: Callable[..., subprocess.Popen[str]]) -> None:
    user = make_user()
    old, young, kept = (answered(user) for _ in range(3))
    for chat_session in (old, young):
        trash.trash_session(chat_session)
    long_ago = timezone.now() - timedelta(days=project_settings.TRASH_DAYS, minutes=1)
    Session.objects.filter(pk=old.pk).update(trashed_at=long_ago)

    app.configure_task("empty_trash", queue="maintenance").defer(timestamp=0)
    worker = manage("procrastinate", "worker", "--one-shot", "--queues=maintenance")
    _, errors = worker.communicate(timeout=60)

    assert worker.returncode == 0, errors
    assert set(Session.objects.all()) == {young, kept}


@pytest.mark.parametrize(
    ("name", "cron"),
    [
        ("empty_trash", "23 * * * *"),
        ("remove_finished_jobs", "*/10 * * * *"),
        ("take_over", "* * * * *"),
    ],
)
def test_schedule(name: str, cron: str) -> None:
    periodic = app.periodic_registry.periodic_tasks.values()
    assert {one.cron for one in periodic if one.task.name == name} == {cron}


def test_a_worker_removes_finished_jobs(manage: Callable[..., subprocess.Popen[str]]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")
    for lock in ("old", "young", "waiting"):
        queue = "nowhere" if lock == "waiting" else "maintenance"
        app.configure_task("answer", queue=queue, lock=lock).defer(run_id=str(uuid4()))
    one_shot = ("procrastinate", "worker", "--one-shot", "--queues=maintenance")
    assert manage(*one_shot).wait(timeout=60) == 0
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_events SET at = at - interval '2 hours' WHERE job_id IN"
            " (SELECT id FROM procrastinate_jobs WHERE lock IN ('old', 'waiting'))"
        )
    app.configure_task("remove_finished_jobs", queue="maintenance").defer(timestamp=0)
    assert manage(*one_shot).wait(timeout=60) == 0
    left = jobs().exclude(lock=None).values_list("lock", "status")
    assert dict(left) == {"young": "succeeded", "waiting": "todo"}


def test_a_worker_takes_over_the_maintenance_of_a_dead_one(
    manage: Callable[..., subprocess.Popen[str]],
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '5 minutes'), (now()) RETURNING id"
        )
        workers = [worker_id for (worker_id,) in cursor.fetchall()]
        for worker_id in workers:
            app.configure_task("empty_trash", queue="maintenance").defer(timestamp=0)
            cursor.execute("SELECT id FROM procrastinate_fetch_job_v2(NULL, %s)", [worker_id])
    app.configure_task("take_over", queue="maintenance").defer(timestamp=0)
    one_shot = ("procrastinate", "worker", "--one-shot", "--queues=maintenance")
    emptying = jobs().filter(task_name="empty_trash").order_by("pk")
    for _ in range(4):  # one that requeues the job may exit before it has seen it
        assert manage(*one_shot).wait(timeout=60) == 0
        dead_ones, others = emptying.values_list("status", flat=True)[:2]
        if dead_ones == "succeeded":
            break
    assert (dead_ones, others) == ("succeeded", "doing")


def test_a_worker_imports_the_agent_library_before_its_first_run(
    manage: Callable[..., subprocess.Popen[str]],
) -> None:
    """No answer waits for that, nor do those that stream meanwhile."""
    worker = manage("procrastinate", "worker", PYTHONPROFILEIMPORTTIME="1")
    assert worker.stderr
    imported = iter(worker.stderr)
    assert Other(lambda: any("pydantic_ai.models.openai" in line for line in imported)).result()


def test_no_job_outlasts_a_transaction_that_fails(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.ANSWERS_IN = "workers"
    monkeypatch.setattr("agents_app.services.dispatch", dispatch)
    user, agent = make_user(), make_agent()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs CASCADE")

    for fails in (True, False):
        with transaction.atomic():
            run = start_session(user=user, agent_id=agent.pk, text="Hello", message_id=uuid4())
            assert jobs().count() == 1
            transaction.set_rollback(fails)
        assert jobs().count() == AgentRun.objects.count() == int(not fails)
    assert jobs().get().args == {"run_id": str(run.pk)}
