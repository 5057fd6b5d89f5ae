"""The stored status of sessions' newest runs, compared with the runs after races."""

import random
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.utils import timezone

from agents_app import services
from agents_app.chats.errors import ChatError
from agents_app.models import AgentRun, RunStatus
from agents_app.runs import storage
from sessions_app.models import Message, Session
from sessions_app.querysets import SessionQuerySet
from tests.agents_app.chats import ask, make_user
from tests.concurrency.helpers import (
    Other,
    held_transaction,
    needs_row_locks,
    wait_until,
    waiting_for_a_lock,
)

pytestmark = pytest.mark.django_db(transaction=True)


CHATS = 3
STEPS = 25


def truth(chat_session: Session) -> str:
    """The expected value of the column, according to the runs."""
    newest = chat_session.runs.order_by("created_at", "pk").last()
    if newest is None:
        return ""
    return RunStatus.RUNNING.value if newest.is_active else newest.status


def differing(sessions: SessionQuerySet) -> list[tuple[str, str]]:
    pairs = [(row.last_run_status, truth(row)) for row in sessions]
    return [pair for pair in pairs if pair[0] != pair[1]]


def answer_rows() -> list[Message]:
    return [Message(role=Message.Role.ASSISTANT, text_content="Hi!")]


class Racer:
    """Does random things that requests, workers and other processes do, in a few chats."""

    def __init__(self, user: User, sessions: list[uuid.UUID], seed: int) -> None:
        self.user = user
        self.sessions = sessions
        self.random = random.Random(seed)

    def race(self, start: threading.Barrier) -> None:
        start.wait(timeout=60)
        steps = [self.send, self.retry, self.regenerate, self.edit, self.stop]
        steps += [self.answer, self.fail, self.die, self.come_back, self.take_over]
        for _ in range(STEPS):
            with suppress(ChatError):  # another one was quicker
                self.random.choice(steps)(self.random.choice(self.sessions))

    def newest(self, session_id: uuid.UUID) -> AgentRun:
        run = AgentRun.objects.filter(session=session_id).order_by("created_at", "pk").last()
        assert run is not None
        return run

    def question(self, session_id: uuid.UUID) -> Message:
        rows = Message.objects.chosen().filter(session=session_id, role="user")
        last = rows.order_by("position").last()
        assert last is not None
        return last

    def send(self, chat: uuid.UUID) -> None:
        services.send_message(user=self.user, session_id=chat, text="a", message_id=uuid.uuid4())

    def retry(self, chat: uuid.UUID) -> None:
        services.retry_run(user=self.user, session_id=chat, run_id=self.newest(chat).pk)

    def regenerate(self, chat: uuid.UUID) -> None:
        question = self.question(chat).pk
        services.regenerate(user=self.user, session_id=chat, message_id=question)

    def edit(self, chat: uuid.UUID) -> None:
        services.edit_message(
            user=self.user,
            session_id=chat,
            message_id=self.question(chat).pk,
            text="b",
            new_message_id=uuid.uuid4(),
        )

    def stop(self, chat: uuid.UUID) -> None:
        services.stop_run(user=self.user, session_id=chat, run_id=self.newest(chat).pk)

    def answer(self, chat: uuid.UUID) -> None:
        run = self.newest(chat)
        if not storage.store_answer(run, run.attempt, answer_rows()):
            storage.store_partial_answer(run.pk, run.attempt, "As far as", uuid.uuid4())

    def fail(self, chat: uuid.UUID) -> None:
        run = self.newest(chat)
        run.finish(RunStatus.FAILED, text="As far as", error="busy", attempt=run.attempt)

    def die(self, chat: uuid.UUID) -> None:
        silent = timezone.now() - timedelta(minutes=5)
        AgentRun.objects.active().filter(session=chat).update(heartbeat_at=silent)
        AgentRun.objects.interrupt_presumed_dead()

    def come_back(self, chat: uuid.UUID) -> None:
        storage.resume(self.newest(chat).pk)

    def take_over(self, chat: uuid.UUID) -> None:
        run = self.newest(chat)
        claimed = storage.claim(run.pk)
        if claimed is not None and self.random.random() < 0.5:
            storage.requeue(run.pk, claimed.attempt)


def test_races_leave_the_status_of_the_newest_run() -> None:
    ana = make_user("ana")
    sessions = [ask(ana).session_id for _ in range(CHATS)]
    start = threading.Barrier(4)
    racers = [Racer(ana, sessions, seed) for seed in range(4)]

    def racing(racer: Racer) -> Callable[[], None]:
        return lambda: racer.race(start)

    for other in [Other(racing(racer)) for racer in racers]:
        other.result()
    assert AgentRun.objects.count() > CHATS
    assert differing(Session.objects.all()) == []
    AgentRun.objects.active().update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    AgentRun.objects.interrupt_presumed_dead()
    assert not AgentRun.objects.active().exists()
    assert differing(Session.objects.all()) == []


@needs_row_locks
@pytest.mark.parametrize("ending", ["stopped", "failed", "done"])
def test_end_that_waits_for_its_session_writes_what_is_true_then(ending: str) -> None:
    """It has to read the runs after it has the lock: another end may have been stored meanwhile."""
    ana = make_user("ana")
    run = ask(ana)

    def end() -> object:
        if ending == "done":
            return storage.store_answer(run, 0, answer_rows())
        return run.finish(RunStatus(ending))

    def end_and_ask_again() -> None:
        run.finish(RunStatus.FAILED)
        services.retry_run(user=ana, session_id=run.session_id, run_id=run.pk)

    with held_transaction(end_and_ask_again) as commit:
        waiting = Other(end)
        wait_until(waiting_for_a_lock)
        commit()
        assert not waiting.result()
    assert Session.objects.get().last_run_status == "running"
    assert differing(Session.objects.all()) == []


@needs_row_locks
def test_session_that_is_locked_does_not_delay_the_end_of_other_dead_runs() -> None:
    ana = make_user("ana")
    locked, free = ask(ana), ask(ana)
    silent = Now() - timedelta(minutes=5)
    AgentRun.objects.update(heartbeat_at=silent)

    def lock() -> None:
        list(Session.objects.select_for_update().filter(pk=locked.session_id))

    with held_transaction(lock) as commit:
        assert AgentRun.objects.interrupt_presumed_dead() == 1
        commit()
    free.refresh_from_db()
    assert free.status == RunStatus.INTERRUPTED
    assert AgentRun.objects.interrupt_presumed_dead() == 1
    assert {row.last_run_status for row in Session.objects.all()} == {"interrupted"}
