"""manage.py load_demo: load a sample of an Automagik database, and create demo users."""

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
from django.db.models import Q

from agents_app.automagik.csv_folder import CsvFolder
from agents_app.automagik.loading import import_automagik
from agents_app.automagik.rows import CannotImport
from agents_app.management.import_summary import summary
from agents_app.models import Agent
from sessions_app.management.operator_command import OperatorCommand
from sessions_app.models import Session


@dataclass(frozen=True)
class Login:
    """A demo user, who gets the chats of the sample's user with the same e-mail."""

    name: str
    about: str
    email: str
    is_staff: bool = False
    is_superuser: bool = False
    view_permissions: tuple[tuple[str, str], ...] = ()
    session_permissions: tuple[str, ...] = ()

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
        view_permissions=(
            ("sessions_app", "session"),
            ("sessions_app", "message"),
            ("sessions_app", "cleanuprun"),
            ("agents_app", "agent"),
            ("agents_app", "agentrun"),
            ("agents_app", "feedback"),
        ),
        session_permissions=("read_transcripts", "review_session"),
    ),
    Login("ana", "ordinary user with chats of her own", "ana@example.org"),
]


# What people see of the demo's agents.
PROFILES: dict[str, dict[str, Any]] = {
    "simple": {
        "display_name": "Everyday assistant",
        "starter_prompts": (
            "Explain how rainbows form\n"
            "Plan a rainy weekend with two children\n"
            "Write a short thank-you note to a neighbour\n"
            "Give me three ideas for a quick dinner"
        ),
    },
    "summary": {
        "display_name": "Summaries",
        "description": "Sums up long texts, minutes and threads in a few sentences.",
        "starter_prompts": (
            "Sum up this text in three sentences:\n"
            "List the decisions and open questions in these minutes:\n"
            "Explain this article to somebody new to the subject:"
        ),
    },
    "discord": {
        "display_name": "Community helper",
        "description": "Drafts answers and announcements for a chat community.",
        "starter_prompts": (
            "Write a welcome message for new members\n"
            "Announce an online meetup on Friday at seven\n"
            "Reply kindly to somebody who asks in the wrong channel"
        ),
    },
}


class Command(OperatorCommand):
    help = (
        "Load the demo: a real export of an Automagik database, most of it phantom sessions, "
        "and three users to log in with. Loading it again changes nothing."
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
            if working := [login for login in LOGINS if _works(login)]:
                self._print_logins(working)
            return
        try:
            # Users first: the import matches them by e-mail.
            with transaction.atomic():
                created = {login.name for login in LOGINS if _create_user(login)}
                existing = list(Agent.objects.values_list("pk", flat=True))
                result = import_automagik(CsvFolder(_sample_folder()), match_staff=True)
                # The sample's agents use a hosted model, which needs an API key.
                Agent.objects.exclude(pk__in=existing).update(model="")
                _describe_agents(existing)
        except CannotImport as error:
            raise CommandError(f"The demo is damaged: {error}") from error
        self.stdout.write(f"{summary(result)}\n")
        self._print_logins(LOGINS, created)
        if created and not settings.DEBUG:
            self.stdout.write(
                "\nDEBUG is off and the demo's passwords are public, so the new users have none. "
                "To set one: python manage.py changepassword admin"
            )

    def _print_logins(self, logins: list[Login], created: Collection[str] = ()) -> None:
        self.stdout.write(f"{'Login':<10}{'Password':<21}Role")
        for login in logins:
            otherwise = "not set" if login.name in created else "unchanged"
            password = login.password if _works(login) else otherwise
            self.stdout.write(f"{login.name:<10}{password:<21}{login.about}")


def _create_user(login: Login) -> bool:
    """Create the user unless the name is taken; returns whether it did."""
    if User.objects.filter(username=login.name).exists():
        return False
    user = User.objects.create_user(
        login.name,
        login.email,
        # A published password must not work on a real site.
        login.password if settings.DEBUG else None,
        is_staff=login.is_staff,
        is_superuser=login.is_superuser,
    )
    permissions = [
        *((f"view_{model}", app_label, model) for app_label, model in login.view_permissions),
        *((codename, "sessions_app", "session") for codename in login.session_permissions),
    ]
    user.user_permissions.set(Permission.objects.get_by_natural_key(*key) for key in permissions)
    return True


def _describe_agents(existing: Collection[int]) -> None:
    """Give profiles to the sample's agents, and to the one of the migrations unless it has one."""
    bare = Q(name="simple", display_name="", starter_prompts="")
    agents = Agent.objects.filter(~Q(pk__in=existing) | bare)
    for name, profile in PROFILES.items():
        agents.filter(name=name).update(**profile)


def _works(login: Login) -> bool:
    """Whether the login's published password works; never with DEBUG off."""
    if not settings.DEBUG:
        return False
    user = User.objects.filter(username=login.name, is_active=True).first()
    # Not user.check_password(), which may rehash and store the password.
    return user is not None and check_password(login.password, user.password)


def _sample_folder() -> Path:
    return Path(apps.get_app_config("agents_app").path) / "demo"
