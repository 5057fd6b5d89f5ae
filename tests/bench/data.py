"""The databases for measurements."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parents[2]

_SESSIONS = """
    INSERT INTO sessions (id, name, platform, created_at, updated_at)
    SELECT id, CASE WHEN n %% 10 < 6 THEN 'Session-' || id ELSE 'Chat ' || n END, 'automagik',
           now() - n * interval '10 s', now() - n * interval '10 s'
    FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, %s) AS n) AS made
"""
# One message for one in ten of the auto-named, three for each of the others.
_MESSAGES = """
    INSERT INTO messages (id, session_id, position, role, text_content, message_type,
                          created_at, updated_at)
    SELECT gen_random_uuid(), id, position, 'user', repeat('text ', 20), 'text', now(), now()
    FROM (SELECT id, auto_named, row_number() OVER (PARTITION BY auto_named ORDER BY id) AS n
          FROM sessions) AS numbered, generate_series(1, 3) AS position
    WHERE NOT auto_named OR (position = 1 AND n % 10 = 0)
"""


class Databases:
    """Databases on one server, filled once and copied for each measurement."""

    def __init__(self, server_url: str) -> None:
        self.server_url = server_url

    def fill(self, sessions: int) -> str:
        """Create a database with so many sessions; returns its name."""
        name = f"bench_{sessions}"
        self._administrate("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._administrate("CREATE DATABASE {}", name)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=ROOT,
            env=environment(self.url(name)),
            check=True,
        )
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            # Autovacuum would distort the measurement that it coincides with.
            for table in ("sessions", "messages", "removed_sessions", "cleanup_runs"):
                connection.execute(
                    sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = off)").format(
                        sql.Identifier(table)
                    )
                )
            connection.execute(_SESSIONS, [sessions])
            connection.execute(_MESSAGES)
            connection.execute("VACUUM ANALYZE")
        return name

    def empty(self, name: str = "bench_chats") -> str:
        """A database without tables; returns its URL."""
        self._administrate("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._administrate("CREATE DATABASE {}", name)
        return self.url(name)

    def copy(self, original: str) -> str:
        """A fresh copy, read once so that each measurement finds it in memory; returns its URL."""
        name = f"{original}_copy"
        self._administrate("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
        self._administrate("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, original)
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            for table in ("sessions", "messages"):
                connection.execute(
                    sql.SQL("SELECT count(*), sum(length(t::text)) FROM {} AS t").format(
                        sql.Identifier(table)
                    )
                )
            connection.execute("CHECKPOINT")
        return self.url(name)

    def url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.server_url)._replace(path=f"/{name}"))

    def _administrate(self, statement: str, *names: str) -> None:
        with psycopg.connect(self.server_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def environment(database_url: str) -> dict[str, str]:
    """The environment of a process that works on that database."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "off",
        "SECRET_KEY": "only-for-benchmarks-0123456789-abcdefghijklmnop",
    }
