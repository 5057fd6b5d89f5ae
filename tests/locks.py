"""A real lock, held by another connection, that writers run into and readers do not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg
from django.db import connection

from tests.conftest import database_url

WAIT = "PRAGMA busy_timeout = 50", "SET lock_timeout = '50ms'"
FOREVER = "PRAGMA busy_timeout = 20000", "SET lock_timeout = 0"
TABLES = "sessions, messages, agent_runs, agents, auth_user, django_session"


@contextmanager
def writers_locked_out() -> Iterator[None]:
    """Whoever writes meanwhile waits; the tests' own connection gives up after a moment."""
    on_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(WAIT[0 if on_sqlite else 1])
    try:
        with _locked_sqlite() if on_sqlite else _locked_postgres():
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(FOREVER[0 if on_sqlite else 1])


@contextmanager
def _locked_sqlite() -> Iterator[None]:
    path = connection.settings_dict["NAME"]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def _locked_postgres() -> Iterator[None]:
    with psycopg.connect(database_url()) as other:
        other.execute(f"LOCK TABLE {TABLES} IN EXCLUSIVE MODE")
        yield
        other.rollback()
