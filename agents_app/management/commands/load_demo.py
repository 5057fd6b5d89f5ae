"""manage.py load_demo: real clutter to look at, and logins to look at it with."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import Permission, User
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from agents_app.automagik.csv_folder import CsvFolder
from agents_app.automagik.loading import import_automagik
from agents_app.automagik.rows import CannotImport
from agents_app.management.summary import summary
from agents_app.models import Agent
from sessions_app.management.base import OperatorCommand
from sessions_app.models import Session


@dataclass(frozen=True)
class Login:
    """A demo user; the e-mail is one that the sample knows, whose chats become the user's."""

    name: str
    about: str
    email: str
    is_staff: bool = False
    is_superuser: bool = False
    may_view: tuple[tuple[str, str], ...] = ()

    @property
    def password(self) -> str:
        return f"demo-{self.name}"


LOGINS = [
    Login(
        "admin",
        "superuser",
        "admin@example.org",
        is_staff=True,
        is_superuser=True,
    ),
    Login(
        "reviewer",
        "staff who may only review",
        "reviewer@example.org",
        is_staff=True,
        may_view=(
            ("sessions_app", "session"),
            ("sessions_app", "message"),
            ("sessions_app", "cleanuprun"),
            ("agents_app", "agent"),
            ("agents_app", "agentrun"),
        ),
    ),
    Login("ana", "ordinary user with chats of her own", "ana@example.org"),
]


class Command(OperatorCommand):
    help = (
        "Load the demo: a real export of an Automagik database, most of it phantom sessions, "
        "and three logins. Loading it again changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--if-empty",
            action="store_true",
            help="do nothing when there is any user or session already",
        )

    def handle(self, *, if_empty: bool, **options: Any) -> None:
        if if_empty and (User.objects.exists() or Session.objects.exists()):
            self.stdout.write("The database is in use already; the demo was not loaded.")
            if known_logins := [login for login in LOGINS if _opens(login)]:
                self._tell_logins(known_logins)
            return
        try:
            # The logins first: the import finds them by their e-mails.
            with transaction.atomic():
                made = {login.name for login in LOGINS if _make(login)}
                known = list(Agent.objects.values_list("pk", flat=True))
                imported = import_automagik(CsvFolder(_sample()), match_staff=True)
                # The sample's agents are on a hosted model, for which a demo has no key.
                Agent.objects.exclude(pk__in=known).update(model="")
        except CannotImport as error:
            raise CommandError(f"The demo is damaged: {error}") from error
        self.stdout.write(f"{summary(imported)}\n")
        self._tell_logins(LOGINS, made)
        if made and not settings.DEBUG:
            self.stdout.write(
                "\nDEBUG is off, and everybody knows the demo's passwords: the new logins have "
                "none. To set one: python manage.py changepassword admin"
            )

    def _tell_logins(self, logins: list[Login], made: Collection[str] = ()) -> None:
        self.stdout.write(f"{'Login':<10}{'Password':<21}Who")
        for login in logins:
            unknown = "none yet" if login.name in made else "as it was"
            password = login.password if _opens(login) else unknown
            self.stdout.write(f"{login.name:<10}{password:<21}{login.about}")


def _make(login: Login) -> bool:
    """Make a login unless there is one of that name; returns whether it did."""
    if User.objects.filter(username=login.name).exists():
        return False
    user = User.objects.create_user(
        login.name,
        login.email,
        # A password that stands in the source code must not open a real site.
        login.password if settings.DEBUG else None,
        is_staff=login.is_staff,
        is_superuser=login.is_superuser,
    )
    user.user_permissions.set(
        Permission.objects.get_by_natural_key(f"view_{model}", app_label, model)
        for app_label, model in login.may_view
    )
    return True


def _opens(login: Login) -> bool:
    """Whether one can log in so, and may be told; never with DEBUG off."""
    if not settings.DEBUG:
        return False
    user = User.objects.filter(username=login.name, is_active=True).first()
    # Not user.check_password(), which may store the password anew.
    return user is not None and check_password(login.password, user.password)


def _sample() -> Path:
    return Path(apps.get_app_config("agents_app").path) / "demo"
