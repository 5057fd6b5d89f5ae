"""manage.py cleanup_sessions: remove phantom sessions."""

import argparse
import contextlib
import getpass
import json
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import Error
from django.utils import timezone

from sessions_app.cleanup.options import (
    DEFAULT_BATCH_SIZE,
    MAX_BATCH_SIZE,
    MAX_WORKERS,
    Options,
    Target,
    as_criteria,
)
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.management import arguments
from sessions_app.management.interrupts import stop_on_signal
from sessions_app.management.operator_command import (
    OperatorCommand,
    explain_database_error,
    lower_priority,
)
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import RemovalPlan, Window

REMOVABLE = 3  # the exit status for --exit-code


@dataclass
class Report:
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
        "automagik, not marked keep, with no message and no other record that refers to them. "
        "Everything else is kept. Removed sessions can be restored with restore_sessions."
    )

    def run_from_argv(self, argv: list[str]) -> None:
        lower_priority()
        super().run_from_argv(argv)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only report what would be removed, what would be kept, and why",
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
            help="only those that are older than AGE (90m, 12h, 30d, 2w)",
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
            "--limit", type=arguments.at_least_one, metavar="N", help="remove at most N sessions"
        )
        parser.add_argument(
            "--max-seconds",
            type=arguments.seconds,
            metavar="S",
            help="stop after the batch that is running when S seconds have passed",
        )
        parser.add_argument(
            "--workers",
            type=arguments.at_least_one,
            default=1,
            metavar="N",
            help=f"database connections that remove in parallel, at most {MAX_WORKERS} "
            "(default: %(default)s; always 1 on SQLite and with --limit)",
        )
        parser.add_argument(
            "--exit-code",
            action="store_true",
            help=f"with --dry-run: exit with {REMOVABLE} when there is something to remove",
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print one JSON object"
        )

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
        exit_code: bool,
        as_json: bool,
        **kwargs: Any,
    ) -> None:
        if exit_code and not dry_run:
            raise CommandError("--exit-code needs --dry-run.", returncode=2)
        try:
            target = Target(_window(days, created_after, older_than, created_before), limit)
            options = Options(max_seconds, batch_size, workers)
        except (ValueError, argparse.ArgumentTypeError) as error:
            raise CommandError(str(error), returncode=2) from error
        report = Report(dry_run=dry_run)
        started = time.monotonic()
        try:
            plan = Session.objects.removal_plan(target.window)
            report.matched = target.expected(plan)
            report.kept = asdict(plan.kept)
            if dry_run:
                report.status = CleanupRun.Status.DONE.value
                if not as_json:
                    self._print_dry_run(target, plan)
            else:
                self._clean(target, options, plan, report, quiet=as_json)
        finally:
            report.seconds = round(time.monotonic() - started, 3)
            if as_json:
                self.stdout.write(json.dumps(asdict(report)))
        if exit_code and report.matched:
            sys.exit(REMOVABLE)

    def _print_dry_run(self, target: Target, plan: RemovalPlan) -> None:
        from sessions_app.management import reporting

        expected = target.expected(plan)
        reporting.print_plan(self.stdout, plan, expected)
        reporting.print_sample(self.stdout, Session.objects.removable(target.window), expected)
        self.stdout.write("\nThis was a dry run: nothing was changed.")

    def _clean(
        self, target: Target, options: Options, plan: RemovalPlan, report: Report, *, quiet: bool
    ) -> None:
        from sessions_app.management import reporting

        if not quiet:
            reporting.print_plan(self.stdout, plan, report.matched)
        run = start_cleanup(
            source=CleanupRun.Source.COMMAND,
            started_by=f"{_login()}@{socket.gethostname()}",
            matched=report.matched,
            criteria=as_criteria(target, options),
        )
        report.run = run.pk
        try:
            with (
                stop_on_signal() as stop,
                reporting.progress(self.stdout, report.matched, quiet=quiet) as on_removed,
            ):
                run_cleanup(
                    run,
                    Session.objects.all(),
                    target,
                    options,
                    stop=stop.requested,
                    on_removed=on_removed,
                )
        except Error as error:
            raise CommandError(
                f"{explain_database_error(error)} "
                f"What cleanup {run.pk} removed before that is recorded and can be restored."
            ) from error
        finally:
            with contextlib.suppress(Error):
                run.refresh_from_db()
            report.removed, report.status = run.removed, run.status
        if not quiet:
            self._print_outcome(run)
        if stop.received_signal:
            raise CommandError(
                f"Stopped by {stop.received_signal.name}; run it again to continue.",
                returncode=128 + stop.received_signal,
            )

    def _print_outcome(self, run: CleanupRun) -> None:
        self.stdout.write(
            f"Cleanup {run.pk} {run.get_status_display().lower()}: removed {run.removed:,} of "
            f"{run.matched:,} sessions in {run.duration.total_seconds():.1f} s."
        )
        if run.status == CleanupRun.Status.DONE and run.removed < run.matched:
            self.stdout.write(
                f"{run.matched - run.removed:,} were in use or have changed, and were kept."
            )
        if run.removed and settings.CLEANUP_ARCHIVE_DAYS:
            self.stdout.write(
                f"To restore them, within {settings.CLEANUP_ARCHIVE_DAYS} days: "
                f"python manage.py restore_sessions {run.pk}"
            )


def _window(
    days: timedelta | int | None,
    created_after: datetime | str | None,
    older_than: timedelta | str | None,
    created_before: datetime | str | None,
) -> Window:
    now = timezone.now()
    if days is not None:
        created_after = now - arguments.days(days)
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
        return "unknown"  # a container may run as a user without a name
