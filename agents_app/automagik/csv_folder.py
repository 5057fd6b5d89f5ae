"""Reads an Automagik database from a folder of CSV exports, one file per table."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from agents_app.automagik.rows import (
    NEEDED_COLUMNS,
    CannotImport,
    Row,
    check_columns,
    shorten,
)

_MAX_FIELD_LENGTH = 1 << 30  # csv's default, 128 KiB, is less than one long answer
_EPOCH = datetime.fromtimestamp(0, UTC)


class CsvFolder:
    """UTF-8 files with a header, as COPY … CSV writes them: an empty field is NULL.

    Raises CannotImport for a missing folder or file, and for a bad file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            raise CannotImport(f"There is no folder {folder}.")
        missing = [name for name in map(_file_name, NEEDED_COLUMNS) if not (folder / name).exists()]
        if missing:
            raise CannotImport(f"The folder {folder} lacks {', '.join(missing)}.")

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table in the file's order, but messages by time.

        Sorting them holds the whole file of messages in memory: exports have no reliable order.
        """
        rows = self._rows_in_file(table)
        if table == "messages":
            yield from sorted(rows, key=_time_of_message)
        else:
            yield from rows

    def _rows_in_file(self, table: str) -> Iterator[Row]:
        name = _file_name(table)
        csv.field_size_limit(_MAX_FIELD_LENGTH)
        try:
            yield from _rows(self._folder / name, table)
        except OSError as error:
            raise CannotImport(f"{name} cannot be read: {error.strerror}.") from error


def _rows(path: Path, table: str) -> Iterator[Row]:
    has_uuids = table in {"sessions", "messages"}
    line_by_id: dict[str | UUID, int] = {}
    records = _records(path)
    _, header = next(records, (0, []))
    check_columns(path.name, table, header)
    if len(set(header)) < len(header):
        raise CannotImport(f"{path.name} has two columns of the same name.")
    for line, record in records:
        location = f"{path.name} line {line}"
        if len(record) != len(header):
            raise CannotImport(
                f"{location} has {len(record)} fields, and the header has {len(header)}."
            )
        row = Row(
            location, {column: value or None for column, value in zip(header, record, strict=True)}
        )
        first = line_by_id.setdefault(row.uuid("id") if has_uuids else row.own_key(), line)
        if first != line:
            raise row.error("id", f"{shorten(row.text('id'))} is already in line {first}.")
        yield row


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records of a file, each with the number of its first line."""
    with path.open("rb") as file:
        reader = csv.reader(_lines(path.name, file), strict=True)
        while True:
            line = reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise CannotImport(f"{path.name} line {line} is not CSV: {error}.") from error
            if record:
                yield line, record


def _lines(name: str, file: Iterator[bytes]) -> Iterator[str]:
    # Decoded line by line, so that an error names its line.
    for number, line in enumerate(file, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CannotImport(
                f"{name} line {number} is not UTF-8 (byte {error.object[error.start]:#x})."
            ) from None
        if "\0" in text:
            raise CannotImport(f"{name} line {number} holds a NUL character.")
        yield text


def _file_name(table: str) -> str:
    return f"{table}.csv"


def _time_of_message(row: Row) -> tuple[bool, datetime]:
    """The sort key of a message; a missing time comes last, as NULL does in PostgreSQL."""
    time = row.time("created_at")
    return time is None, time or _EPOCH
