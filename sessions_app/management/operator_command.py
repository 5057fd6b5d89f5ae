"""The base class of commands for operators: one clear line instead of a traceback."""

import argparse
import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error

from sessions_app.database_errors import is_locked, is_unreachable, one_line, sqlstate
from sessions_app.displayable import printable


class OperatorCommand(BaseCommand):
    """A command that fails with one line on stderr and exit status 1, or 2 for bad usage.

    It runs no system checks: they would import the URLconf and with it the whole site, and a
    cleanup must work even when a page does not.
    """

    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Without its usage, argparse reports bad usage in one line.
        return super().create_parser(prog_name, subcommand, usage=argparse.SUPPRESS, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; raises CommandError for errors of the database."""
        try:
            output = super().execute(*args, **options)
            self.stdout.flush()
        except Error as error:
            raise CommandError(explain_database_error(error)) from error
        except BrokenPipeError:
            # The reader has closed the pipe. Python must not fail again when it flushes stdout at
            # exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise CommandError("the output was closed before everything was printed.") from None
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None
        return output


def lower_priority() -> None:
    """Give the processor to other processes on this machine first, such as web servers."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)


def explain_database_error(error: Error) -> str:
    """What is wrong with the database and what to do about it, on one line."""
    # PostgreSQL's codes (manual, appendix A); SQLite's errors have only a text.
    code = sqlstate(error)
    text = printable(one_line(error))  # it may quote a value from outside
    if code in {"42P01", "42703"} or text.startswith("no such "):
        return f"The database is not migrated ({text}). Run: python manage.py migrate"
    if code == "53100" or "disk is full" in text:
        return f"The database has run out of disk space ({text}). Make room and start again."
    if is_locked(error):
        return f"Another transaction keeps the tables locked ({text}). Try again when it has ended."
    if is_unreachable(error) and "unable to open database file" in text:
        return f"The database cannot be opened ({text}). Check DATABASE_URL and the folder."
    if is_unreachable(error):
        return f"The database cannot be reached ({text}). Check DATABASE_URL and the server."
    return f"The database reports: {text}"
