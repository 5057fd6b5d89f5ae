"""Matches Automagik's users to Django users, and creates those that are missing."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import NamedTuple

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError

from agents_app.automagik.rows import Row, shorten
from agents_app.models import ExternalUser, ImportedUser

_MAX_USERNAME_LENGTH = 150
_MAX_EMAIL_LENGTH = 254
_PHONE = re.compile(r"\+?[0-9][0-9.-]*")  # unlike a chosen user name
_EARLIEST = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
_LATEST = datetime.max.replace(tzinfo=UTC) - timedelta(days=1)


class _ExistingUser(NamedTuple):
    """What decides whether a Django user matches a row."""

    email: str
    is_staff: bool
    is_imported: bool


class ImportedUsers:
    """Maps Automagik's users to Django users.

    A user with an e-mail matches the Django user with that e-mail, ignoring case, or with that
    user name and no e-mail. Staff and superusers match only with `match_staff`: anyone who can
    write to the source could otherwise put chats into their accounts.

    A user without an e-mail matches only a user created by an earlier import for the same phone
    number. Users without a match are created, without a usable password, and named after the
    e-mail, the phone number or, when neither is possible, `automagik-<id>`. Permissions and
    passwords of existing users stay unchanged.
    """

    def __init__(self, *, now: datetime, match_staff: bool) -> None:
        self._now = now
        self._match_staff = match_staff
        self._pk_by_id: dict[str, int] = {}
        self._pk_by_name: dict[str, int] = {}
        self._existing: dict[str, _ExistingUser] = {}  # by name
        self._name_by_email: dict[str, str] = {}
        self._unmatched_staff_emails: set[str] = set()
        imported = set(ImportedUser.objects.values_list("pk", flat=True))
        # Newest first: of two users with the same e-mail, the older one wins.
        users = User.objects.order_by("-pk").values_list(
            "pk", "username", "email", "is_staff", "is_superuser"
        )
        for pk, name, email, is_staff, is_superuser in users.iterator():
            self._pk_by_name[name] = pk
            self._add(name, _ExistingUser(email, is_staff or is_superuser, pk in imported))

    def store(self, batch: list[Row]) -> int:
        """Match or create the users of a batch; returns how many were created.

        Raises CannotImport for a bad row.
        """
        names: dict[str, str] = {}
        new: list[User] = []
        for row in batch:
            email = _email(row)
            name = names[row.own_key()] = self._username_for(row, email)
            if name not in self._existing:
                new.append(self._build_user(row, name, email))
                self._add(name, _ExistingUser(email, is_staff=False, is_imported=True))
        stored = User.objects.bulk_create(new)
        ImportedUser.objects.bulk_create(ImportedUser(user=user) for user in stored)
        self._pk_by_name |= {user.username: user.pk for user in stored}
        for key, name in names.items():
            self._pk_by_id[key] = self._pk_by_name[name]
        ExternalUser.objects.bulk_create(
            (self._build_external_user(row) for row in batch), ignore_conflicts=True
        )
        return len(new)

    def _build_external_user(self, row: Row) -> ExternalUser:
        """What the API finds the user by; a row of an earlier import stays as it is."""
        return ExternalUser(
            user_id=self._pk_by_id[row.own_key()],
            original_id=row.own_key(),
            phone_number=row.text("phone_number").strip() or None,
            data=row.json("user_data"),
        )

    def id_for(self, row: Row, column: str = "user_id") -> int | None:
        """The id of the Django user that a row refers to. Raises CannotImport."""
        key = row.key(column)
        if key is None:
            return None
        if key not in self._pk_by_id:
            raise row.error(column, f"there is no user {key}.")
        return self._pk_by_id[key]

    def _add(self, name: str, user: _ExistingUser) -> None:
        self._existing[name] = user
        if user.email and (self._match_staff or not user.is_staff):
            self._name_by_email[user.email.lower()] = name
        elif user.email:
            self._unmatched_staff_emails.add(user.email.lower())

    def _username_for(self, row: Row, email: str) -> str:
        """The name of the matching user, or of the user to create."""
        if email.lower() in self._name_by_email:
            return self._name_by_email[email.lower()]
        phone = row.text("phone_number").strip()
        if self._email_is_username(email) if email else self._phone_is_username(phone):
            return email or phone
        return next(
            name
            for name in _fallback_usernames(row.own_key())
            if name not in self._existing or _was_imported_with(self._existing[name], email)
        )

    def _email_is_username(self, email: str) -> bool:
        """Whether the e-mail names the matching user or, free, the user to create."""
        if email.lower() in self._unmatched_staff_emails or not _is_valid_email_username(email):
            return False
        user = self._existing.get(email)
        # The e-mail of a user with this name is a different one: else it would have matched.
        return user is None or (not user.email and (self._match_staff or not user.is_staff))

    def _phone_is_username(self, phone: str) -> bool:
        """Whether the phone number names the matching user or, free, the user to create."""
        user = self._existing.get(phone)
        if user is None:
            return _PHONE.fullmatch(phone) is not None and _is_valid_username(phone)
        # A user name with an @ belongs to a user with that e-mail.
        return "@" not in phone and _was_imported_with(user, "")

    def _build_user(self, row: Row, name: str, email: str) -> User:
        return User(
            username=name,
            email=email,
            password=make_password(None),
            date_joined=_clamp_to_calendar(
                row.time("created_at") or row.time("updated_at") or self._now
            ),
        )


def _email(row: Row) -> str:
    email = row.text("email").strip()
    if len(email) > _MAX_EMAIL_LENGTH:
        raise row.error("email", f"{shorten(email)} is longer than {_MAX_EMAIL_LENGTH} characters.")
    return email


def _clamp_to_calendar(moment: datetime) -> datetime:
    """The moment, or the nearest one that Python can represent in every time zone.

    Django's admin page of a user fails for others.
    """
    return min(max(moment, _EARLIEST), _LATEST)


def _was_imported_with(user: _ExistingUser, email: str) -> bool:
    """Whether an import created the user, and not with a different e-mail."""
    return user.is_imported and not user.is_staff and not (email and user.email)


def _is_valid_email_username(email: str) -> bool:
    return "@" in email and email == User.normalize_username(email) and _is_valid_username(email)


def _is_valid_username(text: str) -> bool:
    try:
        User.username_validator(text)
    except ValidationError:
        return False
    return len(text) <= _MAX_USERNAME_LENGTH


def _fallback_usernames(key: str) -> Iterator[str]:
    yield f"automagik-{key}"
    yield from (f"automagik-{key}-{number}" for number in count(2))
