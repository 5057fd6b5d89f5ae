"""manage.py restore_sessions: restore what a cleanup removed, or list the cleanups."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.translation import ngettext

from sessions_app.cleanup.restoring import NotRestorable, restore_run
from sessions_app.management import arguments
from sessions_app.management.operator_command import OperatorCommand
from sessions_app.models import CleanupRun


class Command(OperatorCommand):
    help = (
        "Restore the sessions that a cleanup removed, as they were. They are marked keep, so that "
        "no later cleanup removes them again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument(
            "run",
            nargs="?",
            type=arguments.at_least_one,
            metavar="RUN_ID",
            help="the number of the cleanup",
        )
        what.add_argument(
            "--list",
            action="store_true",
            dest="list_runs",
            help="list the cleanups, newest first: number, start, who started it, how many "
            "sessions it removed, how many of them can still be restored, and until when; on a "
            "terminal as a table, otherwise as lines separated by tabs",
        )

    def handle(self, *, run: int | None, list_runs: bool, **options: Any) -> None:
        if list_runs:
            self._list()
        elif run is None:  # argparse requires it, call_command() does not
            raise CommandError("Give the number of a cleanup, or --list.", returncode=2)
        else:
            self._restore(run)

    def _list(self) -> None:
        from sessions_app.management import reporting

        reporting.print_runs(self.stdout)

    def _restore(self, run: int) -> None:
        try:
            restored = restore_run(CleanupRun.objects.get(pk=run))
        except CleanupRun.DoesNotExist:
            raise CommandError(
                f"There is no cleanup {run}. To list them all: "
                "python manage.py restore_sessions --list"
            ) from None
        except NotRestorable as error:
            raise CommandError(str(error)) from error
        sessions = ngettext("session", "sessions", restored.count)
        self.stdout.write(f"Restored {restored.count:,} {sessions} of cleanup {run}.")
        if restored.ids_in_use:
            self.stdout.write(
                f"Skipped {len(restored.ids_in_use):,} whose ids are in use again; "
                "they stay in the archive:"
            )
            for session_id in restored.ids_in_use:
                self.stdout.write(f"  {session_id}")
        if restored.count:
            self.stdout.write("They are marked keep: no later cleanup removes them again.")
