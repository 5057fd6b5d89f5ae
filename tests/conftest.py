"""Fixtures that many tests share."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.db.backends.base.operations import BaseDatabaseOperations

ROOT = Path(__file__).resolve().parent.parent


def database_url() -> str:
    """The URL of the database that the tests use, for another process."""
    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{settings['NAME']}"
    host = settings["HOST"] or settings["OPTIONS"].get("host", "")
    login = f"{quote(settings['USER'])}:{quote(settings['PASSWORD'])}"
    return f"postgresql://{login}@/{settings['NAME']}?host={quote(host, safe='')}" + (
        f"&port={settings['PORT']}" if settings["PORT"] else ""
    )


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """Whether the database stays; PgBouncer's open connections keep it from being dropped.

    Its server goes with this process anyway.
    """
    return django_db_keepdb or os.environ.get("TEST_DATABASE") == "pgbouncer"


@pytest.fixture(scope="session", autouse=True)
def flush_despite_readers() -> Iterator[None]:
    """Empty the tables again when PostgreSQL has ended that because of a deadlock.

    The product's processes may still be reading, and lock the tables in another order.
    """
    flush = BaseDatabaseOperations.execute_sql_flush

    def flush_again(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        for attempts_left in reversed(range(5)):
            try:
                return flush(self, sql_list)
            except OperationalError as error:
                if not attempts_left or "deadlock" not in str(error):
                    raise

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", flush_again)
        yield


@pytest.fixture(autouse=True)
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs that the use-cases have dispatched; no worker answers them."""
    from agents_app.runs import dispatch

    runs: list[UUID] = []
    recorder = SimpleNamespace(
        start_run=lambda run: runs.append(run.pk),
        cancel=dispatch.cancel,
        process_id=lambda: None,
    )
    monkeypatch.setattr("agents_app.services.dispatch", recorder)
    monkeypatch.setattr("agents_app.web.run_responses.WAIT_SECONDS", 0)
    return runs


@pytest.fixture(autouse=True)
def no_signs_of_life_after_a_test() -> Iterator[None]:
    """No thread, and no idle connection, outlives a test: the database could not be dropped.

    Set up after the database, and so taken down before it.
    """
    yield
    from agents_app.runs import liveness, saver, watching

    saver.stop()
    watching.stop()
    watching._reader.stopping.clear()
    liveness.stop()


@pytest.fixture
def manage(transactional_db: None) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `manage.py` in a separate process, on the tests' database."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "config.settings",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def pytest_report_header() -> str:
    return f"database: {os.environ.get('TEST_DATABASE', 'sqlite')}"
