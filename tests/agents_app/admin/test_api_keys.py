"""API keys in the admin."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.accounts.api_keys import create_key, find_key
from agents_app.models import ApiKey
from tests.agents_app.chats import make_user
from tests.sessions_app.admin.helpers import staff

pytestmark = pytest.mark.django_db
LIST = "/admin/agents_app/apikey/"


def log_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def root() -> Client:
    return log_in(make_user("root", is_staff=True, is_superuser=True))


def test_a_key_is_made_and_shown_once(root: Client) -> None:
    ana = make_user("ana")
    form = {"user": ana.pk, "name": "bot", "scopes": ["chat", "cleanup"]}
    response = root.post(f"{LIST}add/", {**form, "expires_at_0": "", "expires_at_1": ""})
    found = re.search(r'value="(cs_[\w-]+)"', response.content.decode())
    assert found is not None
    row = find_key(found[1])
    assert row is not None
    assert (row.user, row.name, row.scopes) == (ana, "bot", ["chat", "cleanup"])
    listed = root.get(LIST).content.decode()
    assert row.prefix in listed
    assert found[1] not in listed
    assert row.digest not in root.get(f"{LIST}{row.pk}/change/").content.decode()


def test_keys_are_revoked(root: Client) -> None:
    row, key = create_key(make_user("ana"))
    root.post(LIST, {"action": "revoke", "_selected_action": [str(row.pk)]})
    assert find_key(key) is None
    assert ApiKey.objects.get().revoked_at is not None


@pytest.mark.parametrize(
    ("permissions", "statuses"),
    [([], (403, 403)), (["view_apikey"], (200, 403)), (["view_apikey", "add_apikey"], (200, 200))],
)
def test_permissions(permissions: list[str], statuses: tuple[int, int]) -> None:
    clerk = log_in(staff("clerk", *permissions))
    row, key = create_key(make_user("ana"))
    assert (clerk.get(LIST).status_code, clerk.get(f"{LIST}add/").status_code) == statuses
    clerk.post(LIST, {"action": "revoke", "_selected_action": [str(row.pk)]})
    assert find_key(key) is not None


def test_a_key_is_deleted_with_its_user_only(root: Client) -> None:
    ana = make_user("ana")
    row, key = create_key(ana)
    confirmed = {"post": "yes"}
    assert root.post(f"{LIST}{row.pk}/delete/", confirmed).status_code == 403
    assert "delete_selected" not in root.get(LIST).content.decode()
    assert root.post(f"/admin/auth/user/{ana.pk}/delete/", confirmed).status_code == 302
    assert not User.objects.filter(username="ana").exists()
    assert find_key(key) is None


def test_users_with_keys_are_deleted_together(root: Client) -> None:
    names = ["ana", "ben"]
    users = [create_key(make_user(name))[0].user for name in names]
    chosen = {"action": "delete_selected", "_selected_action": [user.pk for user in users]}
    root.post("/admin/auth/user/", {**chosen, "post": "yes"})
    assert not User.objects.filter(username__in=names).exists()
    assert not ApiKey.objects.exists()


def test_deleting_a_user_with_a_key_needs_the_permission_to_delete_keys() -> None:
    ana = make_user("ana")
    create_key(ana)
    clerk = log_in(staff("clerk", "view_user", "delete_user", "view_apikey"))
    assert clerk.post(f"/admin/auth/user/{ana.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(username="ana").exists()


def test_the_form_does_not_list_all_users(root: Client) -> None:
    make_user("ana")
    html = root.get(f"{LIST}add/").content.decode()
    assert "ana" not in html
    assert 'href="/admin/auth/user/?' in html
