"""manage.py restore_sessions: restore what a cleanup removed."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from sessions_app.cleanup.archive import NotRestorable, restore_run
from sessions_app.management import arguments
from sessions_app.management.operator_command import OperatorCommand
from sessions_app.models import CleanupRun


class Command(OperatorCommand):
    help = (
        "Restore the sessions that a cleanup removed, as they were. They are marked keep, so that "
        "no later cleanup removes them again."
    )

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
        except NotRestorable as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Restored {restored.count:,} sessions of cleanup {run}.")
        if restored.ids_in_use:
            self.stdout.write(
                f"Skipped {len(restored.ids_in_use):,} whose ids are in use again; "
                "they stay in the archive:"
            )
            for session_id in restored.ids_in_use:
                self.stdout.write(f"  {session_id}")
        if restored.count:
            self.stdout.write("They are marked keep: no later cleanup removes them again.")
