"""manage.py import_automagik: import an Automagik database."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from agents_app.automagik.loading import OnProgress, import_automagik
from agents_app.automagik.rows import CannotImport
from agents_app.automagik.sources import open_source
from agents_app.management.import_summary import summary
from sessions_app.management.operator_command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Import users, agents, sessions and messages from an Automagik database: all of them, "
        "or nothing when a row is broken. Rows imported before stay unchanged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "source",
            metavar="SOURCE",
            help="a folder with users.csv, agents.csv, sessions.csv and messages.csv, "
            "or the postgresql:// URL of a live Automagik database, which is only read",
        )
        parser.add_argument(
            "--match-staff",
            action="store_true",
            help="match users to staff and superusers by e-mail, too, who then own their chats; "
            "by default, such users are imported as separate users",
        )

    def handle(self, *, source: str, match_staff: bool, **options: Any) -> None:
        try:
            with open_source(source) as opened, self._progress() as on_progress:
                result = import_automagik(opened, match_staff=match_staff, on_progress=on_progress)
        except CannotImport as error:
            raise CommandError(f"{error} Nothing was imported.") from error
        self.stdout.write(summary(result))

    @contextlib.contextmanager
    def _progress(self) -> Iterator[OnProgress | None]:
        """On a terminal, show how many rows have been imported."""
        if not self.stderr.isatty():
            yield None
            return
        from rich.console import Console

        with Console(stderr=True).status("Reading users") as status:
            yield lambda table, done: status.update(f"Importing {table}: {done:,}")
