"""The sources of an import: a folder of CSV exports, or a live database."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from agents_app.automagik.csv_folder import CsvFolder
from agents_app.automagik.rows import CannotImport, Row


class Source(Protocol):
    """An Automagik database with the tables users, agents, sessions and messages."""

    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table; messages by time."""
        ...


@contextmanager
def open_source(address: str) -> Iterator[Source]:
    """Open a folder of CSV exports, or a live database by its postgresql:// URL.

    Raises CannotImport when the address cannot be opened.
    """
    scheme = re.match(r"([a-z0-9+]{2,}):/", address, re.IGNORECASE)
    if scheme is None:
        yield CsvFolder(Path(address))
    elif scheme[1] in {"postgresql", "postgres"}:
        from agents_app.automagik.live_database import connect

        with connect(address) as database:
            yield database
    else:
        raise CannotImport(
            f"A {scheme[1]}: address cannot be read. Give a folder or a postgresql:// URL."
        )
