"""Reads an Automagik database from a folder of CSV exports, one file for each table."""

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

_LONGEST_FIELD = 1 << 30  # characters; csv's own limit of 128 KiB is less than one long answer
_EPOCH = datetime.fromtimestamp(0, UTC)


class CsvFolder:
    """Files in UTF-8 with a header, in which an empty field is NULL, as COPY … CSV makes them.

    Raises CannotImport for a folder or a file that is not there, and for what is wrong in one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        if not folder.is_dir():
            raise CannotImport(f"There is no folder {folder}.")
        missing = [name for name in map(_file_name, NEEDED_COLUMNS) if not (folder / name).exists()]
        if missing:
            raise CannotImport(f"The folder {folder} lacks {', '.join(missing)}.")

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table as they stand in the file; messages in order of time.

        Messages are held in memory for that: an export has no order that could be relied on.
        """
        rows = self._rows_in_file(table)
        if table == "messages":
            yield from sorted(rows, key=_time_of_message)
        else:
            yield from rows

    def _rows_in_file(self, table: str) -> Iterator[Row]:
        name = _file_name(table)
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            yield from _rows(self._folder / name, table)
        except OSError as error:
            raise CannotImport(f"{name} cannot be read: {error.strerror}.") from error


def _rows(path: Path, table: str) -> Iterator[Row]:
    has_uuids = table in {"sessions", "messages"}
    begins: dict[str | UUID, int] = {}  # the lines, by the id of the row
    records = _records(path)
    _, header = next(records, (0, []))
    check_columns(path.name, table, header)
    if len(set(header)) < len(header):
        raise CannotImport(f"{path.name} has two columns of the same name.")
    for line, record in records:
        where = f"{path.name} line {line}"
        if len(record) != len(header):
            raise CannotImport(
                f"{where} has {len(record)} fields, and the header has {len(header)}."
            )
        row = Row(
            where, {column: value or None for column, value in zip(header, record, strict=True)}
        )
        first = begins.setdefault(row.uuid("id") if has_uuids else row.own_key(), line)
        if first != line:
            raise row.wrong("id", f"{shorten(row.text('id'))} stands in line {first} already.")
        yield row


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The records of a file, each with the line in which it begins."""
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
    # Decoded line by line, to be able to say which line is wrong.
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
    """Without a time comes last, as NULL does in PostgreSQL."""
    time = row.time("created_at")
    return time is None, time or _EPOCH
