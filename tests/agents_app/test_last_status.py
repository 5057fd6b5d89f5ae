"""The status of its newest run that a session's row keeps, one transition at a time."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents_app import services
from agents_app.chats.errors import NotRetryable
from agents_app.models import AgentRun, RunStatus
from agents_app.querysets import Progress
from agents_app.runs import storage
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, failed
from tests.factories import make_session

pytestmark = pytest.mark.django_db


def last_status(run: AgentRun) -> str:
    return Session.objects.get(pk=run.session_id).last_run_status


def answer() -> list[Message]:
    return [Message(role=Message.Role.ASSISTANT, text_content="Hi!")]


def die(run: AgentRun) -> None:
    AgentRun.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    assert AgentRun.objects.interrupt_presumed_dead() == 1


def test_session_without_a_run_has_none() -> None:
    assert make_session().last_run_status == ""


def test_run_that_has_started_is_running(run: AgentRun) -> None:
    assert last_status(run) == "running"
    storage.start(run.pk)
    AgentRun.objects.save_progress([Progress(run.pk, 0, "As far as")])
    assert last_status(run) == "running"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (lambda run: storage.store_answer(run, 0, answer()), "done"),
        (lambda run: storage.store_answer(run, 0, []), "done"),
        (lambda run: run.finish(RunStatus.FAILED, error="busy", attempt=0), "failed"),
        (lambda run: run.finish(RunStatus.STOPPED), "stopped"),
        (die, "interrupted"),
    ],
    ids=["done", "done without a word", "failed", "stopped", "presumed dead"],
)
def test_end(run: AgentRun, end: Callable[[AgentRun], object], expected: str) -> None:
    end(run)
    assert last_status(run) == expected
    run.finish(RunStatus.FAILED)  # too late
    assert last_status(run) == expected


def test_run_that_was_presumed_dead_continues(run: AgentRun) -> None:
    die(run)
    assert storage.resume(run.pk)
    assert last_status(run) == "running"
    die(run)
    assert storage.store_answer(run, 0, answer())
    assert last_status(run) == "done"


def test_run_whose_process_has_died_too_often_fails(run: AgentRun) -> None:
    for _ in range(storage.MAX_DEATHS):
        storage.claim(run.pk)
        assert last_status(run) == "running"
    assert storage.claim(run.pk) is None
    assert last_status(run) == "failed"


def test_attempt_that_was_lost_ends_nothing(run: AgentRun) -> None:
    storage.claim(run.pk)
    storage.claim(run.pk)
    assert not run.finish(RunStatus.FAILED, error="busy", attempt=1)
    assert not storage.store_answer(run, 1, answer())
    assert last_status(run) == "running"


def test_every_way_to_ask_again_is_running_again(ana: User) -> None:
    chat_session = answered(ana)
    question = chat_session.messages.get(position=1)
    here: dict[str, Any] = {"user": ana, "session_id": chat_session.pk}
    run = services.send_message(text="More", message_id=uuid.uuid4(), **here)
    assert last_status(run) == "running"
    run.finish(RunStatus.FAILED)
    run = services.retry_run(run_id=run.pk, **here)
    assert last_status(run) == "running"
    storage.store_answer(run, 0, answer())
    run = services.regenerate(message_id=run.message_id, **here)
    assert last_status(run) == "running"
    run.finish(RunStatus.STOPPED)
    run = services.edit_message(
        message_id=question.pk, text="No", new_message_id=uuid.uuid4(), **here
    )
    assert last_status(run) == "running"
    AgentRun.objects.filter(pk=run.pk).update(truncated=True)
    storage.store_answer(run, 0, answer())
    AgentRun.objects.filter(pk=run.pk).update(truncated=True)
    run = services.continue_answer(run_id=run.pk, **here)
    assert last_status(run) == "running"


def test_refused_retry_changes_nothing(ana: User) -> None:
    run = failed(ana)
    services.send_message(
        user=ana, session_id=run.session_id, text="More", message_id=uuid.uuid4()
    ).finish(RunStatus.DONE)
    with pytest.raises(NotRetryable):
        services.retry_run(user=ana, session_id=run.session_id, run_id=run.pk)
    assert last_status(run) == "done"


def test_end_of_an_older_run_does_not_hide_the_newest_one(ana: User) -> None:
    """As when a version is chosen whose run comes back after it was presumed dead."""
    older = failed(ana)
    newest = services.retry_run(user=ana, session_id=older.session_id, run_id=older.pk)
    newest.finish(RunStatus.STOPPED)
    values = {"status": RunStatus.RUNNING, "finished_at": None}
    AgentRun.objects.filter(pk=older.pk).update(**values)
    assert older.finish(RunStatus.FAILED)
    assert last_status(older) == "stopped"


def test_start_and_good_end_of_a_run_write_the_session_once(ana: User) -> None:
    """The first token does not wait for a statement that only says that a run has begun."""
    chat_session = answered(ana)

    def written(queries: CaptureQueriesContext) -> int:
        return sum(one["sql"].startswith('UPDATE "sessions"') for one in queries)

    with CaptureQueriesContext(connection) as queries:
        run = services.send_message(
            user=ana, session_id=chat_session.pk, text="More", message_id=uuid.uuid4()
        )
    assert written(queries) == 1
    with CaptureQueriesContext(connection) as queries:
        storage.store_answer(run, 0, answer())
    assert written(queries) == 1


def test_migration_fills_existing_rows(ana: User) -> None:
    done, again = answered(ana), failed(ana)
    services.retry_run(user=ana, session_id=again.session_id, run_id=again.pk)
    without = make_session()
    Session.objects.update(last_run_status="")
    migration = import_module("agents_app.migrations.0010_latest_run_status")
    migration.fill(apps, connection.schema_editor())
    stored = dict(Session.objects.values_list("pk", "last_run_status"))
    assert stored == {done.pk: "done", again.session_id: "running", without.pk: ""}
