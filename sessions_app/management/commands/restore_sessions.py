"""manage.py restore_sessions: put back what a cleanup removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_app.archive import CannotRestore, restore_run
from sessions_app.management import arguments
from sessions_app.management.base import OperatorCommand
from sessions_app.models import CleanupRun


class Command(OperatorCommand):
    help = "Put back the sessions that a cleanup removed, exactly as they were."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "run", type=arguments.at_least_one, metavar="RUN_ID", help="the number of the cleanup"
        )

    def handle(self, *, run: int, **options: Any) -> None:
        try:
            restored = restore_run(CleanupRun.objects.get(pk=run))
        except CleanupRun.DoesNotExist:
            raise CommandError(
                f"There is no cleanup {run}. The admin lists them, under Cleanup runs."
            ) from None
        except CannotRestore as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Put back {restored.count:,} sessions of cleanup {run}.")
        if restored.ids_in_use:
            self.stdout.write(
                f"Skipped {len(restored.ids_in_use):,} whose ids are in use again; "
                "they stay in the archive:"
            )
            for session_id in restored.ids_in_use:
                self.stdout.write(f"  {session_id}")
        if restored.count:
            self.stdout.write("The next cleanup removes them again, unless renamed or used.")
