"""Automagik's users as Django users: found by e-mail or user name, or made."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from agents_app.automagik.rows import Row, shorten

_LONGEST_NAME = 150
_LONGEST_EMAIL = 254
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


class ImportedUsers:
    """Which Django user each of Automagik's users is.

    A user is the Django user with the same e-mail, whatever its case. Without one it is the
    user whose name is the e-mail, or the phone number when there is no e-mail, or
    `automagik-<id>` when neither can be a user name or somebody with another e-mail has it.
    A user who does not exist is made under that name, without a usable password. The rights
    and the password of an existing user stay as they are.
    """

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._pk_by_id: dict[str, int] = {}
        self._pk_by_name: dict[str, int] = {}
        self._email_by_name: dict[str, str] = {}
        self._name_by_email: dict[str, str] = {}
        known = User.objects.order_by("-pk")  # of two with one e-mail, the older one counts
        for pk, name, email in known.values_list("pk", "username", "email").iterator():
            self._pk_by_name[name] = pk
            self._remember(name, email)

    def store(self, batch: list[Row]) -> int:
        """Find or make the users of these rows; returns how many it made.

        Raises CannotImport for a broken row.
        """
        names: dict[str, str] = {}
        made: list[User] = []
        for row in batch:
            email = _email(row)
            name = names[row.own_key()] = self._name_of(row, email)
            if name not in self._email_by_name:
                made.append(self._make(row, name, email))
                self._remember(name, email)
        for user in User.objects.bulk_create(made):
            self._pk_by_name[user.username] = user.pk
        for key, name in names.items():
            self._pk_by_id[key] = self._pk_by_name[name]
        return len(made)

    def referred_to(self, row: Row, column: str = "user_id") -> int | None:
        """The Django user that a row names by Automagik's id; raises CannotImport."""
        key = row.key(column)
        if key is None:
            return None
        if key not in self._pk_by_id:
            raise row.wrong(column, f"there is no user {key}.")
        return self._pk_by_id[key]

    def _remember(self, name: str, email: str) -> None:
        self._email_by_name[name] = email
        if email:
            self._name_by_email[email.lower()] = name

    def _name_of(self, row: Row, email: str) -> str:
        if email and email.lower() in self._name_by_email:
            return self._name_by_email[email.lower()]
        for name in _possible_names(row, email):
            # Whoever has this name and an e-mail has another e-mail.
            if not (email and self._email_by_name.get(name)):
                return name
        raise row.wrong("id", f"somebody else has the user name automagik-{row.own_key()}.")

    def _make(self, row: Row, name: str, email: str) -> User:
        return User(
            username=name,
            email=email,
            password=make_password(None),
            date_joined=_in_every_time_zone(
                row.time("created_at") or row.time("updated_at") or self._now
            ),
        )


def _email(row: Row) -> str:
    email = row.text("email").strip()
    if len(email) > _LONGEST_EMAIL:
        raise row.wrong("email", f"{shorten(email)} is longer than {_LONGEST_EMAIL} characters.")
    return email


def _in_every_time_zone(moment: datetime) -> datetime:
    """The moment, or the nearest one at which the calendar has begun and not ended anywhere.

    Django's own page of a user fails where it has.
    """
    return min(max(moment, _EARLIEST), _LATEST)


def _possible_names(row: Row, email: str) -> Iterator[str]:
    name = User.normalize_username(email or row.text("phone_number").strip())
    if name and len(name) <= _LONGEST_NAME:
        try:
            User.username_validator(name)
            yield name
        except ValidationError:
            pass
    yield f"automagik-{row.own_key()}"
