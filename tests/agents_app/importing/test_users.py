"""Whose Django user each of the users becomes."""

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from sessions_app.models import Session
from tests.agents_app.automagik import write_export
from tests.agents_app.importing.helpers import assert_refused, change, dump, run

pytestmark = pytest.mark.django_db


def import_users(folder: Path, *users: dict[str, Any]) -> None:
    """Import users, each with a session that bears the user's number as its name."""
    sessions = [
        {"id": str(uuid.uuid4()), "user_id": user["id"], "name": user["id"]} for user in users
    ]
    run(write_export(folder, users=list(users), sessions=sessions))


def owner(number: str) -> User:
    user = Session.objects.get(name=number).user
    assert user is not None
    return user


def test_user_is_matched_by_email_and_left_as_it_is(tmp_path: Path) -> None:
    User.objects.create_user("bruno", "Bruno@Example.org", "chosen", is_staff=True)
    before = User.objects.values().get()

    import_users(tmp_path, {"id": "1", "email": " bruno@example.ORG "})

    assert owner("1").username == "bruno"
    assert User.objects.values().get() == before


def test_new_user_has_no_usable_password_and_keeps_its_date(tmp_path: Path) -> None:
    import_users(
        tmp_path, {"id": "1", "email": "eva@example.org", "created_at": "2026-03-01 12:00:00+00"}
    )

    user = owner("1")
    assert (user.username, user.email) == ("eva@example.org", "eva@example.org")
    assert not user.has_usable_password()
    assert not user.is_staff
    assert not user.is_superuser
    assert user.date_joined == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        ({"email": "eva@example.org", "phone_number": "+351900"}, "eva@example.org"),
        ({"phone_number": "+351900"}, "+351900"),
        ({"phone_number": "(21) 900"}, "automagik-5"),
        ({"email": "eva example.org"}, "automagik-5"),
        ({"email": f"{'e' * 140}@example.org"}, "automagik-5"),
        ({"phone_number": "9" * 151}, "automagik-5"),
        ({"email": "taken@example.org"}, "automagik-5"),
        ({}, "automagik-5"),
    ],
)
def test_user_name(tmp_path: Path, user: dict[str, str], name: str) -> None:
    User.objects.create_user("taken@example.org", "somebody.else@example.org")

    import_users(tmp_path, {"id": "5", **user})

    assert owner("5").username == name
    assert owner("5").email == user.get("email", "")
    before = dump()
    run(tmp_path)
    assert dump() == before


def test_two_users_with_one_email_are_one_person(tmp_path: Path) -> None:
    import_users(
        tmp_path,
        {"id": "1", "email": "eva@example.org"},
        {"id": "2", "email": "EVA@example.org"},
    )

    assert owner("1") == owner("2")
    assert User.objects.count() == 1


def test_of_two_known_users_with_one_email_the_older_one_counts(tmp_path: Path) -> None:
    for name in ("older", "newer"):
        User.objects.create_user(name, "eva@example.org")

    import_users(tmp_path, {"id": "1", "email": "eva@example.org"})

    assert owner("1").username == "older"


def test_too_long_an_email_is_refused(chat: Path) -> None:
    change(chat, "users", "email", f"{'e' * 250}@example.org")

    assert_refused(chat, "users.csv line 2, column email", "longer than 254 characters")
