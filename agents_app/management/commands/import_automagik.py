"""manage.py import_automagik: take an Automagik database into this one."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from agents_app.automagik.loading import OnProgress, import_automagik
from agents_app.automagik.rows import CannotImport
from agents_app.automagik.sources import open_source
from agents_app.management.summary import summary
from sessions_app.management.base import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Import users, agents, sessions and messages from an Automagik database: all of it, or "
        "nothing when a row is broken. What was imported before is left as it is."
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
            help="give staff and superusers, too, the chats of the person with their e-mail; "
            "otherwise such a person becomes a user of their own",
        )

    def handle(self, *, source: str, match_staff: bool, **options: Any) -> None:
        try:
            with open_source(source) as opened, self._progress() as on_progress:
                imported = import_automagik(
                    opened, match_staff=match_staff, on_progress=on_progress
                )
        except CannotImport as error:
            raise CommandError(f"{error} Nothing was imported.") from error
        self.stdout.write(summary(imported))

    @contextlib.contextmanager
    def _progress(self) -> Iterator[OnProgress | None]:
        """On a terminal, tell how many rows are done."""
        if not self.stderr.isatty():
            yield None
            return
        from rich.console import Console

        with Console(stderr=True).status("Reading users") as status:
            yield lambda table, done: status.update(f"Importing {table}: {done:,}")
