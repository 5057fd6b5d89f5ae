"""A session that a person has named is kept by cleanups, whatever its name is."""

import re
from collections.abc import Callable
from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client

from agents_app.services import create_session
from sessions_app.models import Session
from tests.agents_app.automagik.databases import SAMPLE
from tests.agents_app.chats import make_user
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import Page, change_url, log_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return make_user("ana")


@pytest.fixture
def imported(user: User) -> Session:
    return make_session(user=user, name="Planning", platform="automagik")


def in_chat(client: Client, chat_session: Session, name: str) -> None:
    client.force_login(chat_session.user)  # type: ignore[arg-type]
    response = client.post(f"/chats/{chat_session.pk}/rename/", {"name": name})
    assert response.status_code == 303


def through_api(client: Client, chat_session: Session, name: str) -> None:
    output = StringIO()
    call_command("create_api_key", "ana", stdout=output)
    key = output.getvalue().split()[-1]
    response = client.patch(
        f"/api/v1/sessions/{chat_session.pk}",
        {"name": name},
        content_type="application/json",
        headers={"x-api-key": key},
    )
    assert response.status_code == 200


def in_admin(client: Client, chat_session: Session, name: str) -> None:
    root = log_in(User.objects.create_superuser("root", password="secret"))
    Page.of(root, change_url(chat_session)).press("_save", name=name)


RENAMES = [in_chat, through_api, in_admin]
Rename = Callable[[Client, Session, str], None]


def listed(client: Client, user: User) -> list[str]:
    client.force_login(user)
    html = client.get("/chats/").content.decode()
    return re.findall(r'class="chat-name"[^>]*>([^<]+)', html)


def found(client: Client, user: User, words: str) -> list[str]:
    client.force_login(user)
    html = client.get("/chats/", {"q": words}).content.decode()
    return re.findall(r'class="name"[^>]*>([^<]+)', html)


@pytest.mark.parametrize("rename", RENAMES)
def test_an_imported_empty_session_that_is_renamed_stays_and_is_listed(
    client: Client, user: User, imported: Session, rename: Rename
) -> None:
    rename(client, imported, "Session-x")
    call_command("cleanup_sessions", stdout=StringIO())
    kept = Session.objects.get()
    assert (kept.name, kept.keep) == ("Session-x", True)
    assert "Session-x" in listed(client, user)
    assert "Session-x" in found(client, user, "session-x")
    assert Session.objects.removal_plan().kept.marked_keep == 1


def test_assigning_an_agent_in_the_admin_keeps_nothing(client: Client, imported: Session) -> None:
    in_admin(client, imported, imported.name)
    imported.refresh_from_db()
    assert not imported.keep


def test_a_given_name_is_shown_instead_of_the_first_words(
    client: Client, user: User, imported: Session
) -> None:
    say(imported, "How do boats swim?")
    in_chat(client, imported, "Session-x")
    assert listed(client, user) == ["Session-x"]


def test_a_restored_session_keeps_its_generated_name_out_of_the_lists(
    client: Client, user: User
) -> None:
    empty, used = phantom(user=user, keep=True), phantom(user=user, keep=True)
    say(used, "How do boats swim?")
    assert listed(client, user) == ["How do boats swim?"]
    assert not found(client, user, "Session")
    assert {empty, used} == set(Session.objects.all())


def test_an_empty_session_that_is_made_on_purpose_stays(user: User) -> None:
    create_session(user=user, name="Session-x", agent=None, platform="automagik")
    call_command("cleanup_sessions", stdout=StringIO())
    assert Session.objects.filter(name="Session-x").exists()


def test_an_import_marks_nothing() -> None:
    call_command("import_automagik", str(SAMPLE), stdout=StringIO())
    assert Session.objects.exists()
    assert not Session.objects.filter(keep=True).exists()
