"""Reads an Automagik database from the PostgreSQL server on which it runs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from agents_app.automagik.rows import CannotImport, Row, check_columns

_CONNECT_SECONDS = 10
_LONGEST_ID = 60  # characters of one that is no id at all, in an error message

# The text of a time must not depend on the server's settings, nor may a limit that is
# meant for short queries cut a long one off.
_TRANSACTION_SETTINGS = """
    SET LOCAL DateStyle = 'ISO';
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
"""

# A transcript is in order of time; rows with the same time need an order, too.
_ORDER = {"messages": sql.SQL("ORDER BY created_at, id")}


class LiveDatabase:
    """An Automagik database as of one moment, which is read and never written to."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table, streamed; messages in order of time.

        They come through COPY, which sends rows only as fast as they are taken, and as the
        very text that a CSV export holds: what is read does not depend on the types that a
        version of Automagik gave its columns.

        Raises CannotImport when the table cannot be read.
        """
        select = sql.SQL("SELECT * FROM public.{}").format(sql.Identifier(table))
        export = sql.SQL("COPY ({} {}) TO STDOUT").format(select, _ORDER.get(table, sql.SQL("")))
        try:
            with self._connection.cursor() as cursor:
                description = cursor.execute(select + sql.SQL(" LIMIT 0")).description or []
                columns = [column.name for column in description]
                check_columns(f"The table {table}", table, columns)
                with cursor.copy(export) as copy:
                    for record in copy.rows():
                        values = dict(zip(columns, record, strict=True))
                        yield Row(f"{table} id {(values['id'] or '')[:_LONGEST_ID]}", values)
        except psycopg.Error as error:
            raise CannotImport(f"The table {table} cannot be read: {_one_line(error)}") from error
        except UnicodeDecodeError as error:
            raise CannotImport(f"The table {table} holds text that is not UTF-8.") from error


@contextmanager
def connect(url: str) -> Iterator[LiveDatabase]:
    """Connect to a postgresql:// URL, for one read-only transaction with one snapshot.

    Raises CannotImport, without the password in its text, when there is no connection.
    """
    connection = None
    try:
        connection = psycopg.connect(**_parameters(url))
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute(_TRANSACTION_SETTINGS)
        yield LiveDatabase(connection)
    except psycopg.Error as error:
        raise CannotImport(f"Automagik's database: {_one_line(error)}") from error
    finally:
        if connection:
            connection.close()


def _parameters(url: str) -> dict[str, Any]:
    # A password with one of these characters in it would be taken for the server's name or
    # port, and show up in the error.
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    try:
        parameters = conninfo_to_dict(url)
    except psycopg.Error:
        parameters = {"port": "unreadable"}
    ports = str(parameters.get("port") or "0").split(",")
    if (
        url.count("@") > 1
        or url.count("@") != authority.count("@")
        or not all(port.isdigit() for port in ports)
    ):
        raise CannotImport(
            "The address of Automagik's database cannot be read. It looks like "
            "postgresql://user:password@host:5432/name, with special characters in the "
            "password percent-encoded (@ as %40, / as %2F)."
        )
    return {
        "connect_timeout": _CONNECT_SECONDS,
        **parameters,
        "client_encoding": "UTF8",
        "application_name": "import_automagik",
    }


def _one_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or " ".join(str(error).split())
    return text if text.endswith((".", "?")) else f"{text}."
