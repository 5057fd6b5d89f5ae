"""Bad sources: the error says where, and nothing is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agents_app.automagik import databases
from tests.agents_app.automagik.databases import SAMPLE, read_table, write_table
from tests.agents_app.automagik.helpers import CHAT, assert_refused, change, run

pytestmark = pytest.mark.django_db


UNKNOWN_ID = "99999999-9999-4999-8999-999999999999"


@pytest.mark.parametrize(
    ("table", "column", "value", "problem"),
    [
        ("users", "id", "", "is empty."),
        ("users", "id", "seven", "'seven' is neither a whole number nor a UUID."),
        ("users", "created_at", "yesterday", "'yesterday' is not a date and time."),
        ("agents", "name", "", "is empty."),
        ("agents", "active", "maybe", "'maybe' is neither t nor f."),
        ("agents", "config", "{", "'{' is not JSON."),
        ("sessions", "id", "abc", "'abc' is not a UUID."),
        ("sessions", "id", "12", "'12' is not a UUID."),
        ("sessions", "user_id", "8", "there is no user 8."),
        ("sessions", "user_id", UNKNOWN_ID, f"there is no user {UNKNOWN_ID}."),
        ("sessions", "agent_id", "99", "there is no agent 99."),
        ("sessions", "metadata", "{'a': 1}", "\"{'a': 1}\" is not JSON."),
        ("sessions", "metadata", "[NaN]", "'[NaN]'. The data contains a number that is not"),
        ("sessions", "metadata", "1e999", "'1e999'. The data contains a number that is not"),
        ("sessions", "metadata", '{"\\u0000": 1}', "contains a NUL character"),
        ("sessions", "metadata", '["\\ud800"]', "contains half a character"),
        ("sessions", "metadata", "[" * 300 + "]" * 300, "is nested too deeply"),
        ("sessions", "metadata", "[" * 100_000, "is nested too deeply."),
        ("sessions", "created_at", "2026-02-30 10:00:00+00", "is not a date and time."),
        ("sessions", "updated_at", "infinity", "'infinity' is not a date and time."),
        ("sessions", "run_finished_at", "0001-01-01 00:00:00+14", "is not a date and time."),
        ("messages", "id", "nonsense", "'nonsense' is not a UUID."),
        ("messages", "session_id", "", "'' is not a UUID."),
        ("messages", "session_id", UNKNOWN_ID, f"there is no session {UNKNOWN_ID}."),
        ("messages", "user_id", "8", "there is no user 8."),
        ("messages", "agent_id", "2", "there is no agent 2."),
        ("messages", "role", "robot", "'robot' is none of system, user, assistant, tool."),
        ("messages", "role", "", "'' is none of system, user, assistant, tool."),
        ("messages", "tool_calls", "{]", "'{]' is not JSON."),
        ("messages", "raw_payload", "x" * 900, f"'{'x' * 59}…' is not JSON."),
        ("messages", "created_at", "12:00", "'12:00' is not a date and time."),
        ("messages", "usage", "[1", "'[1' is not JSON."),
    ],
)
def test_a_bad_row_is_located_and_nothing_is_imported(
    chat: Path, table: str, column: str, value: str, problem: str
) -> None:
    change(chat, table, column, value)

    assert_refused(chat, f"{table}.csv line 2, column {column}: ", problem, "Nothing was imported")


def test_the_line_is_the_first_of_the_row(chat: Path) -> None:
    change(chat, "messages", "role", "robot", row=1)

    assert_refused(chat, "messages.csv line 4, column role")  # the first text has two lines


def test_a_bad_row_in_a_later_batch_rolls_back_earlier_ones(sample: Path) -> None:
    change(sample, "messages", "session_id", UNKNOWN_ID, row=-1)

    assert_refused(sample, "column session_id", UNKNOWN_ID)


def test_a_bad_row_is_refused_even_when_its_id_exists(chat: Path) -> None:
    run(chat)
    change(chat, "messages", "context", "{")

    assert_refused(chat, "messages.csv line 2, column context")


@pytest.mark.parametrize("table", databases.TABLES)
def test_a_duplicate_id_is_refused(sample: Path, table: str) -> None:
    rows = read_table(sample, table)
    rows[-1]["id"] = rows[0]["id"].upper()
    write_table(sample, table, rows)

    assert_refused(sample, f"{table}.csv line ", "column id", "is already in line 2.")


@pytest.mark.parametrize("table", databases.TABLES)
def test_a_missing_file_is_refused(chat: Path, table: str) -> None:
    (chat / f"{table}.csv").unlink()

    assert_refused(chat, f"lacks {table}.csv.")


@pytest.mark.parametrize(
    ("table", "column"),
    [("users", "email"), ("agents", "name"), ("sessions", "platform"), ("messages", "role")],
)
def test_a_missing_column_is_refused(chat: Path, table: str, column: str) -> None:
    file = chat / f"{table}.csv"
    file.write_text(file.read_text().replace(column, "renamed", 1))

    assert_refused(chat, f"{table}.csv lacks the column {column}.")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "sessions.csv lacks the columns id, user_id"),
        (b"%(header)s\n" + CHAT.encode() + b"\n", "sessions.csv line 2 has 1 fields"),
        (b"%(header)s\n%(row)s,more\n", "sessions.csv line 2 has 10 fields, and the header has 9"),
        (b"%(header)s,id\n", "sessions.csv has two columns of the same name."),
        (b'%(header)s\n%(row)s\n"open\n\n', "sessions.csv line 3 is not CSV"),
        (b'%(header)s\n"a"b,\n', "sessions.csv line 2 is not CSV"),
        (b"%(header)s\n%(row)s\n\xe9t\xe9\n", "sessions.csv line 3 is not UTF-8 (byte 0xe9)."),
        (b"%(header)s\n%(row)s\x00\n", "sessions.csv line 2 holds a NUL character."),
    ],
)
def test_a_malformed_file_is_refused(chat: Path, content: bytes, problem: str) -> None:
    file = chat / "sessions.csv"
    header, row = file.read_bytes().splitlines()
    file.write_bytes(content % {b"header": header, b"row": row} if b"%(" in content else content)

    assert_refused(chat, problem)


def test_an_unreadable_file_is_refused(chat: Path) -> None:
    (chat / "agents.csv").unlink()
    (chat / "agents.csv").mkdir()

    assert_refused(chat, "agents.csv cannot be read: Is a directory.")


def test_wrong_path_is_one_line_on_stderr_and_exit_status_1(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "manage.py", "import_automagik", str(tmp_path / "nowhere")],
        cwd=SAMPLE.parent.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == (
        f"CommandError: There is no folder {tmp_path / 'nowhere'}. Nothing was imported.\n"
    )
