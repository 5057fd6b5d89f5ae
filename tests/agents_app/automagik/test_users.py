"""How Automagik's users are matched to Django users."""

import uuid
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command

from sessions_app.models import Session
from tests.agents_app.automagik.databases import write_export
from tests.agents_app.automagik.helpers import assert_refused, change, dump, run

pytestmark = pytest.mark.django_db


def import_users(folder: Path, *users: dict[str, Any]) -> None:
    """Import users, each with a session named after the user's id."""
    sessions = [
        {"id": str(uuid.uuid4()), "user_id": user["id"], "name": user["id"]} for user in users
    ]
    run(write_export(folder, users=list(users), sessions=sessions))


def owner(number: str) -> User:
    user = Session.objects.get(name=number).user
    assert user is not None
    return user


def test_a_user_is_matched_by_email_and_stays_unchanged(tmp_path: Path) -> None:
    User.objects.create_user("bruno", "Bruno@Example.org", "chosen")
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
        ({"phone_number": "eva"}, "automagik-5"),
        ({"email": "eva"}, "automagik-5"),
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


@pytest.mark.parametrize("rights", [{"is_staff": True}, {"is_superuser": True}], ids=str)
@pytest.mark.parametrize(
    ("name", "address"),
    [("bruno", "Bruno@Example.org"), ("bruno@example.org", "")],
    ids=["e-mail", "name"],
)
def test_staff_are_matched_by_email_only_on_request(
    tmp_path: Path, rights: dict[str, bool], name: str, address: str
) -> None:
    staff = User.objects.create_user(name, address, "chosen", **rights)
    before = User.objects.values().get()

    import_users(tmp_path, {"id": "1", "email": "bruno@example.org"})

    assert owner("1").username == "automagik-1"
    assert owner("1").email == "bruno@example.org"
    assert not owner("1").has_usable_password()
    assert User.objects.values().get(pk=staff.pk) == before
    stored = dump()
    run(tmp_path)
    assert dump() == stored

    Session.objects.all().delete()
    User.objects.get(username="automagik-1").delete()
    call_command("import_automagik", str(tmp_path), "--match-staff", stdout=StringIO())
    assert owner("1") == staff
    assert User.objects.values().get() == before


@pytest.mark.parametrize(
    "login",
    [
        {"username": "admin", "is_superuser": True, "is_staff": True, "password": "chosen"},
        {"username": "admin", "password": "chosen"},
        {"username": "admin"},
        {"username": "+351900", "password": "chosen"},
        {"username": "bruno@example.org", "email": "bruno@example.org"},
        {"username": "automagik-1", "password": "chosen"},
        {"username": "automagik-1", "is_staff": True},
    ],
    ids=str,
)
def test_a_phone_number_never_matches_a_login(tmp_path: Path, login: dict[str, Any]) -> None:
    somebody = User.objects.create_user(**login)

    import_users(tmp_path, {"id": "1", "phone_number": login["username"]})

    assert owner("1") != somebody
    assert owner("1").username.startswith("automagik-1")
    assert not owner("1").is_staff
    before = dump()
    run(tmp_path)
    assert dump() == before


def test_a_phone_number_does_not_match_a_user_imported_with_an_email(tmp_path: Path) -> None:
    import_users(
        tmp_path,
        {"id": "1", "email": "eva@example.org"},
        {"id": "2", "phone_number": "eva@example.org"},
    )

    assert owner("1").username == "eva@example.org"
    assert owner("2").username == "automagik-2"


def test_an_imported_user_still_matches_after_a_login(tmp_path: Path) -> None:
    import_users(tmp_path, {"id": "1", "phone_number": "+351900"}, {"id": "2"})
    for name in ("+351900", "automagik-2"):
        user = User.objects.get(username=name)
        user.set_password("chosen")
        user.last_login = datetime(2026, 5, 1, tzinfo=UTC)
        user.save()
    before = dump()

    run(tmp_path)

    assert dump() == before


def test_a_phone_number_does_not_match_an_imported_user_who_became_staff(
    tmp_path: Path,
) -> None:
    import_users(tmp_path, {"id": "1", "phone_number": "+351900"})
    User.objects.update(is_staff=True)

    import_users(tmp_path, {"id": "2", "phone_number": "+351900"})

    assert owner("2").username == "automagik-2"


def test_names_are_compared_exactly(tmp_path: Path) -> None:
    User.objects.create_user("bruno@example.org")

    import_users(tmp_path, {"id": "1", "email": "ｂruno@example.org"})

    assert owner("1").username == "automagik-1"


def test_users_with_the_same_email_become_one(tmp_path: Path) -> None:
    import_users(
        tmp_path,
        {"id": "1", "email": "eva@example.org"},
        {"id": "2", "email": "EVA@example.org"},
    )

    assert owner("1") == owner("2")
    assert User.objects.count() == 1


def test_of_two_existing_users_with_one_email_the_older_matches(tmp_path: Path) -> None:
    for name in ("older", "newer"):
        User.objects.create_user(name, "eva@example.org")

    import_users(tmp_path, {"id": "1", "email": "eva@example.org"})

    assert owner("1").username == "older"


def test_an_email_that_is_too_long_is_refused(chat: Path) -> None:
    change(chat, "users", "email", f"{'e' * 250}@example.org")

    assert_refused(chat, "users.csv line 2, column email", "longer than 254 characters")
