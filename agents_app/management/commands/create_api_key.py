"""manage.py create_api_key: create an API key, which is printed once."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from agents_app.accounts.api_keys import InvalidKey, create_key
from agents_app.models import Scope
from sessions_app.management import arguments
from sessions_app.management.operator_command import OperatorCommand


def _expiry(text: str | timedelta | datetime) -> timedelta | datetime:
    """An age such as 90d, or a moment."""
    if isinstance(text, timedelta | datetime):
        return text
    return arguments.age(text) if text.strip()[-1:].isalpha() else arguments.moment(text)


class Command(OperatorCommand):
    help = "Create an API key for a user. It is printed once, on the last line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="USER", help="the user's name")
        parser.add_argument("--name", default="", help="what the key is for")
        parser.add_argument(
            "--scope",
            action="append",
            dest="scopes",
            choices=Scope.values,
            help="what the key may do; repeat it for several (default: chat and read)",
        )
        parser.add_argument(
            "--expires",
            type=_expiry,
            metavar="WHEN",
            help="when it stops working: 90d, or a date (default: never)",
        )

    def handle(
        self,
        *,
        user: str,
        name: str,
        scopes: list[str] | None,
        expires: timedelta | datetime | None,
        **options: Any,
    ) -> None:
        owner = User.objects.filter(username=user).first()
        if owner is None:
            raise CommandError(f"There is no user {user}. The admin lists them, under Users.")
        if not owner.is_active:
            raise CommandError(f"{user} has been switched off; a key would not work.")
        expires_at = timezone.now() + expires if isinstance(expires, timedelta) else expires
        try:
            row, key = create_key(
                owner,
                name=name,
                scopes=scopes or [Scope.CHAT, Scope.READ],
                expires_at=expires_at,
            )
        except InvalidKey as error:
            raise CommandError(str(error)) from error
        until = f"until {row.expires_at:%Y-%m-%d %H:%M %Z}" if row.expires_at else "indefinitely"
        self.stdout.write(f"A key of {user} for {', '.join(row.scopes)}, valid {until}.")
        self.stdout.write("Keep it safe: it is not shown again.")
        self.stdout.write(key)
