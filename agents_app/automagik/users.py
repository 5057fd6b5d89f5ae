"""Automagik's users as Django users: found by e-mail or user name, or made."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from agents_app.automagik.rows import Row, shorten
from agents_app.models import ImportedUser

_LONGEST_NAME = 150
_LONGEST_EMAIL = 254
_PHONE = re.compile(r"\+?[0-9][0-9.-]*")  # nothing that a login is called
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


class _Known(NamedTuple):
    """What decides whether a Django user is the one that a row means."""

    email: str
    is_staff: bool
    is_imported: bool


class ImportedUsers:
    """Which Django user each of Automagik's users is.

    A user is the Django user with the same e-mail, whatever its case, or whose name is the
    e-mail, unless that one has another. Staff and superusers are found so only with
    `match_staff`: whoever can write to the source could otherwise put chats into their hands.

    Without an e-mail it is the user whom an earlier import made under the same phone number;
    somebody who logs in here never is. Who is not found is made, without a usable password,
    named after the e-mail or the phone number, or `automagik-<id>` when neither will do. The
    rights and the password of an existing user stay as they are.
    """

    def __init__(self, *, now: datetime, match_staff: bool) -> None:
        self._now = now
        self._match_staff = match_staff
        self._pk_by_id: dict[str, int] = {}
        self._pk_by_name: dict[str, int] = {}
        self._known: dict[str, _Known] = {}  # by name
        self._name_by_email: dict[str, str] = {}
        self._emails_of_staff: set[str] = set()
        imported = set(ImportedUser.objects.values_list("pk", flat=True))
        # Of two with one e-mail, the older one counts.
        users = User.objects.order_by("-pk").values_list(
            "pk", "username", "email", "is_staff", "is_superuser"
        )
        for pk, name, email, is_staff, is_superuser in users.iterator():
            self._pk_by_name[name] = pk
            self._remember(name, _Known(email, is_staff or is_superuser, pk in imported))

    def store(self, batch: list[Row]) -> int:
        """Find or make the users of these rows; returns how many it made.

        Raises CannotImport for a broken row.
        """
        names: dict[str, str] = {}
        made: list[User] = []
        for row in batch:
            email = _email(row)
            name = names[row.own_key()] = self._name_of(row, email)
            if name not in self._known:
                made.append(self._make(row, name, email))
                self._remember(name, _Known(email, is_staff=False, is_imported=True))
        stored = User.objects.bulk_create(made)
        ImportedUser.objects.bulk_create(ImportedUser(user=user) for user in stored)
        self._pk_by_name |= {user.username: user.pk for user in stored}
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

    def _remember(self, name: str, known: _Known) -> None:
        self._known[name] = known
        if known.email and (self._match_staff or not known.is_staff):
            self._name_by_email[known.email.lower()] = name
        elif known.email:
            self._emails_of_staff.add(known.email.lower())

    def _name_of(self, row: Row, email: str) -> str:
        """The name of the user who is meant, or under which one is to be made."""
        if email.lower() in self._name_by_email:
            return self._name_by_email[email.lower()]
        phone = row.text("phone_number").strip()
        if self._may_be_named(email) if email else self._may_be_called(phone):
            return email or phone
        return next(
            name
            for name in _names_of_its_own(row.own_key())
            if name not in self._known or _was_made_for(self._known[name], email)
        )

    def _may_be_named(self, email: str) -> bool:
        """Whether a user named after the e-mail is meant, who is there or to be made."""
        if email.lower() in self._emails_of_staff or not _is_email_as_name(email):
            return False
        known = self._known.get(email)
        # Whoever has this name and an e-mail has another e-mail.
        return known is None or (not known.email and (self._match_staff or not known.is_staff))

    def _may_be_called(self, phone: str) -> bool:
        """Whether a user named after the phone number is meant, who is there or to be made."""
        known = self._known.get(phone)
        if known is None:
            return _PHONE.fullmatch(phone) is not None and _is_name(phone)
        # What looks like an e-mail is the name of somebody who has that.
        return "@" not in phone and _was_made_for(known, "")

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


def _was_made_for(known: _Known, email: str) -> bool:
    """Whether an import made the user, for somebody with this e-mail, if with any."""
    return known.is_imported and not known.is_staff and not (email and known.email)


def _is_email_as_name(email: str) -> bool:
    return "@" in email and email == User.normalize_username(email) and _is_name(email)


def _is_name(text: str) -> bool:
    try:
        User.username_validator(text)
    except ValidationError:
        return False
    return len(text) <= _LONGEST_NAME


def _names_of_its_own(key: str) -> Iterator[str]:
    yield f"automagik-{key}"
    yield from (f"automagik-{key}-{number}" for number in count(2))
