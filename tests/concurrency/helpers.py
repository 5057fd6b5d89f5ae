"""Other connections: threads with their own connection to the database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

needs_row_locks = pytest.mark.skipif(
    not connection.features.has_select_for_update_skip_locked,
    reason="SQLite has one writer at a time: the situation cannot arise",
)


class Other(threading.Thread):
    """Runs a function with its own connection; `result()` waits for it and raises its error."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        finally:
            connection.close()

    def result(self) -> Any:
        self.join(timeout=60)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


def elsewhere(work: Callable[[], Any]) -> Any:
    """Run `work` on another connection, and wait for it."""
    return Other(work).result()


@contextmanager
def before_statement(text: str, action: Callable[[], Any], *, nth: int = 1) -> Iterator[None]:
    """Run `action` just before the nth statement of this connection that contains `text`."""
    seen = 0

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        if text in sql:
            seen += 1
            if seen == nth:
                action()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield
    assert seen >= nth, f"{seen} statements contained {text!r}"


@contextmanager
def held_transaction(work: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """Run `work` in a transaction on another connection; yields a function that commits it."""
    from django.db import transaction

    worked, commit = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            work()
            worked.set()
            assert commit.wait(timeout=60)

    other = Other(hold)
    assert worked.wait(timeout=60) or other.result()

    def finish() -> None:
        commit.set()
        other.result()

    try:
        yield finish
    finally:
        finish()


def waiting_for_a_lock() -> bool:
    """Whether another connection to this PostgreSQL database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


PATIENCE = 60  # seconds


def wait_until(is_so: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Poll until the condition holds; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        meanwhile()
        time.sleep(0.01)  # what it waits for needs the processor
