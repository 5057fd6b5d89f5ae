"""The writer's and the cleaner's protocol, on real concurrent connections.

One test for each way to lose a message, or to make a writer or a cleanup fail because of another.
"""

import threading
import uuid
from contextlib import ExitStack
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from sessions_app.cleanup import batches
from sessions_app.cleanup import run as cleanup
from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Message, RemovedSession, Session
from sessions_app.writing import SessionGone
from tests.concurrency.helpers import (
    Other,
    before_statement,
    elsewhere,
    held_transaction,
    needs_row_locks,
    wait_until,
    waiting_for_a_lock,
)
from tests.factories import phantom, say

pytestmark = pytest.mark.django_db(transaction=True)


def clean(*, batch_size: int = 1000, workers: int = 1) -> CleanupRun:
    run = start_cleanup(source=CleanupRun.Source.COMMAND, started_by="test", matched=0, criteria={})
    options = Options(batch_size=batch_size, workers=workers)
    run_cleanup(run, Session.objects.all(), Target(), options)
    return run


def test_message_committed_after_the_count_is_kept() -> None:
    chat_session, empty = phantom(), phantom()
    with before_statement("cleanup_runs", lambda: elsewhere(lambda: say(chat_session))):
        call_command("cleanup_sessions")
    assert list(Session.objects.all()) == [chat_session]
    assert Message.objects.get().session == chat_session
    assert RemovedSession.objects.get().session_id == empty.pk


@needs_row_locks
def test_message_that_the_first_statement_cannot_see_is_kept() -> None:
    """The trap of a single snapshot: committed between locking and removing."""
    chat_session = phantom()

    def commit_unseen() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # As if it had been committed while statement 1 was running: past the row lock.
            cursor.execute("SET LOCAL session_replication_role = replica")
            Message.objects.create(session=chat_session, position=1, role="user")

    with before_statement("DELETE", lambda: elsewhere(commit_unseen)):
        run = clean()
    assert run.removed == 0
    assert run.status == CleanupRun.Status.DONE
    assert Message.objects.get().session == chat_session


@needs_row_locks
def test_session_with_an_uncommitted_message_is_skipped_without_waiting() -> None:
    chat_session, empty = phantom(), phantom()
    with held_transaction(lambda: say(chat_session)) as commit:
        run = clean()
        assert run.status == CleanupRun.Status.DONE
        assert run.removed == 1
        commit()
    assert list(Session.objects.all()) == [chat_session]
    assert Message.objects.get().session == chat_session
    assert RemovedSession.objects.get().session_id == empty.pk


def test_cleanup_waits_for_an_uncommitted_message_without_row_locks() -> None:
    chat_session = phantom()
    phantom()
    with held_transaction(lambda: say(chat_session)) as commit:
        cleaner = Other(clean)
        commit()
        cleaner.result()
    assert list(Session.objects.all()) == [chat_session]
    assert Message.objects.count() == 1


@needs_row_locks
def test_session_with_an_uncommitted_rename_is_kept() -> None:
    chat_session = phantom()
    rename = Session.objects.filter(pk=chat_session.pk)
    with held_transaction(lambda: rename.update(name="Mine now")) as commit:
        assert clean().removed == 0
        commit()
    assert Session.objects.get().name == "Mine now"


def test_session_renamed_after_the_count_is_kept() -> None:
    chat_session = phantom()
    rename = Session.objects.filter(pk=chat_session.pk)
    with before_statement("cleanup_runs", lambda: elsewhere(lambda: rename.update(name="Mine"))):
        call_command("cleanup_sessions")
    assert Session.objects.get().name == "Mine"


@needs_row_locks
def test_writer_that_is_too_late_gets_a_domain_error() -> None:
    """SessionGone rather than an integrity error at COMMIT."""
    chat_session = phantom()
    writers: list[Other] = []

    def write_and_wait_for_the_lock() -> None:
        writers.append(Other(lambda: say(chat_session)))
        wait_until(lambda: elsewhere(waiting_for_a_lock))

    with before_statement("DELETE", write_and_wait_for_the_lock):
        assert clean().removed == 1
    with pytest.raises(SessionGone):
        writers[0].result()
    assert not Message.objects.exists()


def test_writing_to_a_removed_session_fails() -> None:
    chat_session = phantom()
    clean()
    with pytest.raises(SessionGone, match=str(chat_session.pk)):
        say(chat_session)


def test_two_cleaners_share_the_work() -> None:
    ids = {phantom().pk for _ in range(60)}
    start = threading.Barrier(2)

    def clean_together() -> CleanupRun:
        start.wait(timeout=60)
        return clean(batch_size=7)

    runs = [cleaner.result() for cleaner in [Other(clean_together), Other(clean_together)]]
    assert [run.status for run in runs] == [CleanupRun.Status.DONE] * 2
    assert sum(run.removed for run in runs) == 60
    assert set(RemovedSession.objects.values_list("session_id", flat=True)) == ids
    assert RemovedSession.objects.count() == 60
    assert not Session.objects.exists()


@pytest.mark.parametrize("workers", [2, 3, 16])
def test_workers_share_one_run(workers: int) -> None:
    kept = [phantom() for _ in range(3)]
    for chat_session in kept:
        say(chat_session)
    for _ in range(40):
        phantom()
    run = clean(batch_size=5, workers=workers)
    assert (run.status, run.removed) == (CleanupRun.Status.DONE, 40)
    assert run.removed_sessions.count() == 40
    assert set(Session.objects.all()) == set(kept)


def test_more_workers_than_sessions() -> None:
    phantom()
    assert clean(workers=4).removed == 1
    assert clean(workers=4).removed == 0


@needs_row_locks
@pytest.mark.parametrize("statement", range(4))
def test_sessions_that_vanish_while_the_ranges_are_computed(statement: int) -> None:
    """Before any of its first statements, another cleanup may have removed nearly all."""
    phantoms = sorted((phantom() for _ in range(40)), key=lambda row: row.pk)
    gone = Session.objects.filter(pk__in=[row.pk for row in phantoms[3:]])
    run = start_cleanup(source=CleanupRun.Source.COMMAND, started_by="test", matched=0, criteria={})
    executed: list[str] = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if len(executed) == statement:
            elsewhere(lambda: gone._raw_delete("default"))
        executed.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        run_cleanup(run, Session.objects.all(), Target(), Options(workers=4))
    assert run.status == CleanupRun.Status.DONE
    assert not Session.objects.exists()
    assert 3 <= run.removed <= 40


def test_chats_during_a_cleanup_lose_nothing() -> None:
    """Writers pick phantoms at random while a cleaner removes them: every message that was
    acknowledged is there, and SessionGone is the only error."""
    chats = [phantom() for _ in range(80)]
    start = threading.Barrier(4)

    def write(offset: int) -> list[uuid.UUID]:
        start.wait(timeout=60)
        stored = []
        for number in range(40):
            try:
                stored.append(say(chats[(offset + 7 * number) % 80], f"{number}").pk)
            except SessionGone:
                continue
        return stored

    writers = [Other(lambda offset=offset: write(offset)) for offset in (0, 2, 5)]  # type: ignore[misc]
    start.wait(timeout=60)
    run = clean(batch_size=3)
    stored = {message_id for writer in writers for message_id in writer.result()}
    assert set(Message.objects.values_list("pk", flat=True)) == stored
    assert run.removed == run.removed_sessions.count() == 80 - Session.objects.count()
    written_to = set(Message.objects.values_list("session", flat=True))
    assert written_to <= set(Session.objects.values_list("pk", flat=True))


@needs_row_locks
def test_locked_table_fails_the_cleanup_with_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    phantom()
    monkeypatch.setattr(cleanup, "MAX_ATTEMPTS", 2)
    settings = batches._TRANSACTION_SETTINGS.replace("'2s'", "'20ms'")
    assert "'20ms'" in settings
    monkeypatch.setattr(batches, "_TRANSACTION_SETTINGS", settings)

    def lock() -> None:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE messages IN ACCESS EXCLUSIVE MODE")

    with (
        ExitStack() as other,
        before_statement(
            'INSERT INTO "cleanup_runs"', lambda: other.enter_context(held_transaction(lock))
        ),
        pytest.raises(CommandError, match="Another transaction keeps the tables locked") as failure,
    ):
        call_command("cleanup_sessions")
    assert failure.value.returncode == 1
    assert CleanupRun.objects.get().status == CleanupRun.Status.FAILED
    assert Session.objects.count() == 1


def test_concurrent_writers_take_consecutive_positions() -> None:
    chat_session = phantom()
    start = threading.Barrier(3)

    def write(number: int) -> None:
        start.wait(timeout=60)
        for text in range(10):
            say(chat_session, f"{number}-{text}")

    for writer in [Other(lambda number=number: write(number)) for number in range(3)]:  # type: ignore[misc]
        writer.result()
    positions = list(Message.objects.order_by("position").values_list("position", flat=True))
    assert positions == list(range(1, 31))
    for number in range(3):
        texts = chat_session.messages.filter(text_content__startswith=f"{number}-")
        in_order = texts.order_by("position").values_list("text_content", flat=True)
        assert list(in_order) == [f"{number}-{i}" for i in range(10)]


def test_a_message_outside_the_protocol_still_cannot_lose_its_session() -> None:
    """The foreign key is the last safeguard: a session with a message is never removed."""
    chat_session = phantom()
    say(chat_session)
    with pytest.raises(IntegrityError), transaction.atomic():
        Session.objects.filter(pk=chat_session.pk)._raw_delete("default")
    assert Session.objects.get() == chat_session
