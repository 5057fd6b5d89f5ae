"""Other connections: threads that talk to the database on their own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


class Other(threading.Thread):
    """Runs a function with its own connection; `result()` waits for it and hands on its error."""

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
    """Do it on another connection, and wait for it."""
    return Other(work).result()


@contextmanager
def before_statement(start: str, action: Callable[[], Any], *, nth: int = 1) -> Iterator[None]:
    """On this connection, do `action` once, just before the nth statement that has `start`."""
    seen = 0

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal seen
        if start in sql:
            seen += 1
            if seen == nth:
                action()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield
    assert seen >= nth, f"{seen} statements had {start!r}"


@contextmanager
def held_transaction(work: Callable[[], Any]) -> Iterator[Callable[[], None]]:
    """Another connection's open transaction in which `work` was done; yields its commit."""
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


PATIENCE = 60  # seconds


def wait_until(is_so: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Ask until it is so; fails after PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline
        meanwhile()
        time.sleep(0.01)  # what it waits for needs the processor
