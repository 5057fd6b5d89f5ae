"""Automagik databases for tests: folders of CSV exports, and live ones."""

import contextlib
import csv
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

import agents_app
from tests import postgres

SAMPLE = Path(agents_app.__file__).parent / "demo"
TABLES = ("users", "agents", "sessions", "messages")

SCHEMA = """
    CREATE TABLE users (
        id {user_id} PRIMARY KEY, email text, phone_number varchar(50), user_data jsonb,
        created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
    CREATE TABLE agents (
        id serial PRIMARY KEY, name varchar(255), type varchar(50), model varchar(255),
        description text, version varchar(50), config jsonb, active boolean DEFAULT true,
        run_id integer DEFAULT 0, system_prompt text, active_default_prompt_id integer,
        created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
    CREATE TABLE sessions (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id {user_id} REFERENCES users,
        agent_id integer REFERENCES agents, name varchar(255), platform varchar(50),
        metadata jsonb, created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now(), run_finished_at timestamptz);
    CREATE TABLE messages (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), session_id uuid REFERENCES sessions,
        user_id {user_id} REFERENCES users, agent_id integer REFERENCES agents,
        role varchar(20) NOT NULL, text_content text, media_url text, mime_type text,
        message_type text, raw_payload jsonb, tool_calls json, tool_outputs jsonb,
        system_prompt text, user_feedback text, flagged text, context jsonb,
        channel_payload jsonb, created_at timestamptz DEFAULT now(),
        updated_at timestamptz DEFAULT now());
"""

Rows = list[dict[str, str]]


def read_table(folder: Path, table: str) -> Rows:
    with (folder / f"{table}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_table(folder: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """Write rows; columns missing from a row are empty."""
    header = list(read_table(SAMPLE, table)[0])
    columns = [*header, *sorted({column for row in rows for column in row} - set(header))]
    with (folder / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_export(folder: Path, **tables: list[dict[str, Any]]) -> Path:
    """Write an export; missing tables are empty."""
    folder.mkdir(exist_ok=True)
    for table in TABLES:
        write_table(folder, table, tables.get(table, []))
    return folder


def with_whole_numbers_as_user_ids(tables: dict[str, Rows]) -> dict[str, Rows]:
    """The same rows as in a version of Automagik with integer user ids."""
    numbers = {row["id"]: str(number) for number, row in enumerate(tables["users"], start=1)}
    for row in tables["users"]:
        row["id"] = numbers[row["id"]]
    for row in (*tables["sessions"], *tables["messages"]):
        row["user_id"] = numbers.get(row["user_id"], "")
    return tables


def server_url() -> str:
    """The URL of a PostgreSQL server: the tests' own, or one started here."""
    url = os.environ["DATABASE_URL"]
    return url if url.startswith("postgres") else postgres.start()


@contextlib.contextmanager
def live_database(server: str, *, user_id: str = "uuid", sample: bool = True) -> Iterator[str]:
    """A new database with Automagik's tables on a server; yields its URL."""
    name = f"automagik_{uuid.uuid4().hex}"
    url = urlsplit(server)._replace(path=f"/{name}").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        with psycopg.connect(url) as connection:
            connection.execute(SCHEMA.format(user_id=user_id).encode())
            if sample:
                _fill(connection, user_id)
        yield url
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _fill(connection: psycopg.Connection, user_id: str) -> None:
    tables = {table: read_table(SAMPLE, table) for table in TABLES}
    if user_id == "integer":
        tables = with_whole_numbers_as_user_ids(tables)
    for table, rows in tables.items():
        copy_in = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows[0]))
        )
        with connection.cursor().copy(copy_in) as copy:
            for row in rows:
                copy.write_row([value or None for value in row.values()])
