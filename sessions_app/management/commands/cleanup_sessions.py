"""manage.py cleanup_sessions: remove the sessions that nobody started."""

import argparse
import contextlib
import getpass
import json
import socket
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error
from django.utils import timezone

from sessions_app.cleanup import (
    DEFAULT_BATCH_SIZE,
    MAX_BATCH_SIZE,
    MAX_WORKERS,
    Criteria,
    run_cleanup,
    start_cleanup,
)
from sessions_app.management import arguments
from sessions_app.management.base import OperatorCommand, explain_database_error
from sessions_app.management.signals import stop_on_signal
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import Survey, Window


@dataclass
class Outcome:
    """What `--json` prints."""

    run: int | None = None
    dry_run: bool = False
    status: str = CleanupRun.Status.FAILED.value
    matched: int = 0
    removed: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Command(OperatorCommand):
    help = (
        "Remove phantom sessions: those whose name starts with Session-, on platform "
        "automagik, with no message and nothing else that refers to them. Everything else "
        "stays. What is removed can be put back with restore_sessions."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="only say what would go and what stays, and why"
        )
        lower = parser.add_mutually_exclusive_group()
        lower.add_argument(
            "--days", type=arguments.days, metavar="N", help="only those created in the last N days"
        )
        lower.add_argument(
            "--created-after",
            type=arguments.moment,
            metavar="T",
            help="only those created at or after T (2026-01-31 or 2026-01-31T18:00+01:00)",
        )
        upper = parser.add_mutually_exclusive_group()
        upper.add_argument(
            "--older-than",
            type=arguments.age,
            metavar="AGE",
            help="only those created longer ago than AGE (90m, 12h, 30d, 2w)",
        )
        upper.add_argument(
            "--created-before",
            type=arguments.moment,
            metavar="T",
            help="only those created before T",
        )
        parser.add_argument(
            "--batch-size",
            type=arguments.at_least_one,
            default=DEFAULT_BATCH_SIZE,
            metavar="N",
            help=f"sessions per transaction, at most {MAX_BATCH_SIZE} (default: %(default)s)",
        )
        parser.add_argument(
            "--limit", type=arguments.at_least_one, metavar="N", help="remove N sessions at most"
        )
        parser.add_argument(
            "--max-seconds",
            type=arguments.seconds,
            metavar="S",
            help="stop after the batch that is under way when S seconds have passed",
        )
        parser.add_argument(
            "--workers",
            type=arguments.at_least_one,
            default=1,
            metavar="N",
            help=f"database connections that remove side by side, at most {MAX_WORKERS} "
            "(default: %(default)s; always 1 on SQLite and with --limit)",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(
        self,
        *,
        dry_run: bool,
        days: timedelta | int | None,
        created_after: datetime | str | None,
        older_than: timedelta | str | None,
        created_before: datetime | str | None,
        batch_size: int,
        limit: int | None,
        max_seconds: float | None,
        workers: int,
        json: bool,
        **options: Any,
    ) -> None:
        try:
            criteria = Criteria(
                window=_window(days, created_after, older_than, created_before),
                limit=limit,
                max_seconds=max_seconds,
                batch_size=batch_size,
                workers=workers,
            )
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise CommandError(str(error), returncode=2) from error
        outcome = Outcome(dry_run=dry_run)
        started = time.monotonic()
        try:
            survey = Session.objects.survey(criteria.window)
            outcome.matched = criteria.expected(survey)
            outcome.kept = asdict(survey.kept)
            if dry_run:
                outcome.status = CleanupRun.Status.DONE.value
                if not json:
                    self._tell_dry_run(criteria, survey)
            else:
                self._clean(criteria, survey, outcome, quiet=json)
        finally:
            outcome.seconds = round(time.monotonic() - started, 3)
            if json:
                self._print_json(outcome)

    def _tell_dry_run(self, criteria: Criteria, survey: Survey) -> None:
        from sessions_app.management import reporting

        expected = criteria.expected(survey)
        reporting.print_survey(self.stdout, survey, expected)
        reporting.print_sample(self.stdout, Session.objects.removable(criteria.window), expected)
        self.stdout.write("\nThis was a dry run: nothing was changed.")

    def _clean(self, criteria: Criteria, survey: Survey, outcome: Outcome, *, quiet: bool) -> None:
        from sessions_app.management import reporting

        if not quiet:
            reporting.print_survey(self.stdout, survey, outcome.matched)
        run = start_cleanup(
            source=CleanupRun.Source.COMMAND,
            started_by=f"{_login()}@{socket.gethostname()}",
            matched=outcome.matched,
            criteria=criteria.as_json(),
        )
        outcome.run = run.pk
        try:
            with (
                stop_on_signal() as stopped,
                reporting.progress(self.stdout, outcome.matched, quiet=quiet) as on_removed,
            ):
                run_cleanup(
                    run,
                    Session.objects.all(),
                    criteria,
                    stop=stopped.event,
                    on_removed=on_removed,
                )
        except Error as error:
            raise CommandError(
                f"{explain_database_error(error)} "
                f"What cleanup {run.pk} had removed until then is recorded and can be put back."
            ) from error
        finally:
            with contextlib.suppress(Error):
                run.refresh_from_db()
            outcome.removed, outcome.status = run.removed, run.status
        if not quiet:
            self._tell_outcome(run)
        if stopped.by:
            raise CommandError(
                f"Stopped by {stopped.by.name}; run it again to go on.",
                returncode=128 + stopped.by,
            )

    def _tell_outcome(self, run: CleanupRun) -> None:
        self.stdout.write(
            f"Cleanup {run.pk} {run.get_status_display().lower()}: removed {run.removed:,} of "
            f"{run.matched:,} sessions in {run.duration.total_seconds():.1f} s."
        )
        if run.status == CleanupRun.Status.DONE and run.removed < run.matched:
            self.stdout.write(
                f"{run.matched - run.removed:,} were in use or changed meanwhile, and stay."
            )
        if run.removed and settings.CLEANUP_ARCHIVE_DAYS:
            self.stdout.write(
                f"To put them back, within {settings.CLEANUP_ARCHIVE_DAYS} days: "
                f"python manage.py restore_sessions {run.pk}"
            )

    def _print_json(self, outcome: Outcome) -> None:
        self.stdout.write(json.dumps(asdict(outcome)))


def _window(
    days: timedelta | int | None,
    created_after: datetime | str | None,
    older_than: timedelta | str | None,
    created_before: datetime | str | None,
) -> Window:
    now = timezone.now()
    if isinstance(days, int):
        days = arguments.days(days)
    if days is not None:
        created_after = now - days
    elif created_after is not None:
        created_after = arguments.moment(created_after)
    if older_than is not None:
        created_before = now - arguments.age(older_than)
    elif created_before is not None:
        created_before = arguments.moment(created_before)
    return Window(created_after, created_before)


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"  # a container may run as a user that has no name
