"""Reads a live Automagik database from its PostgreSQL server."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from agents_app.automagik.rows import CannotImport, Row, check_columns

_CONNECT_TIMEOUT = 10
_MAX_ID_LENGTH = 60  # in error messages, for ids that are not UUIDs

# The format of times must not depend on the server's settings, and its timeouts for short
# queries must not end a long one.
_TRANSACTION_SETTINGS = """
    SET LOCAL DateStyle = 'ISO';
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
"""

# The id breaks ties between messages with the same time.
_ORDER = {"messages": sql.SQL("ORDER BY created_at, id")}


class LiveDatabase:
    """A read-only snapshot of an Automagik database."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table, streamed; messages by time.

        COPY sends rows only as fast as they are read, and as the text that a CSV export holds,
        whichever types a version of Automagik gave its columns.

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
                        yield Row(f"{table} id {(values['id'] or '')[:_MAX_ID_LENGTH]}", values)
        except psycopg.Error as error:
            raise CannotImport(f"The table {table} cannot be read: {_one_line(error)}") from error
        except UnicodeDecodeError as error:
            raise CannotImport(f"The table {table} holds text that is not UTF-8.") from error


@contextmanager
def connect(url: str) -> Iterator[LiveDatabase]:
    """Connect to a postgresql:// URL for one read-only transaction with one snapshot.

    Raises CannotImport, without the password in its text, when the connection fails.
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
    # A password with an unescaped character would be parsed as the host or the port, and appear
    # in the error.
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
        "connect_timeout": _CONNECT_TIMEOUT,
        **parameters,
        "client_encoding": "UTF8",
        "application_name": "import_automagik",
    }


def _one_line(error: psycopg.Error) -> str:
    # Unlike database_errors.one_line, all that the server says: it is not the product's own.
    text = error.diag.message_primary or " ".join(str(error).split())
    return text if text.endswith((".", "?")) else f"{text}."
