"""The page of a user's own API keys."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents_app.accounts.api_keys import create_key, find_key
from agents_app.models import ApiKey
from tests.agents_app.chats import make_user
from tests.agents_app.web.helpers import html

pytestmark = pytest.mark.django_db
FORM = {"name": "laptop", "scopes": ["read"], "days": "30"}


def shown_key(response: Any) -> str | None:
    found = re.search(r'value="(cs_[\w-]+)"', html(response))
    return found and found[1]


def test_key_is_shown_once(page: Client, user: User) -> None:
    response = page.post("/accounts/keys/", FORM)
    key = shown_key(response)
    assert key is not None
    row = find_key(key)
    assert row is not None
    assert (row.user, row.name, row.scopes) == (user, "laptop", ["read"])
    assert row.expires_at is not None
    assert abs(row.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    assert "no-store" in response["Cache-Control"]
    later = page.get("/accounts/keys/")
    assert shown_key(later) is None
    assert row.prefix in html(later)


@pytest.mark.parametrize("change", [{"name": ""}, {"scopes": []}, {"scopes": ["all"]}, {"days": 7}])
def test_bad_form(page: Client, change: dict[str, Any]) -> None:
    response = page.post("/accounts/keys/", FORM | change)
    assert 'class="error"' in html(response)
    assert not ApiKey.objects.exists()


def test_revoking(page: Client, user: User) -> None:
    row, key = create_key(user)
    others, others_key = create_key(make_user("bo"))
    url = f"/accounts/keys/{row.pk}/revoke/"
    assert row.prefix in html(page.get(url))
    assert find_key(key) is not None, "a link changes nothing"
    assert page.post(url).status_code == 303
    assert find_key(key) is None
    assert f"Revoked “{row.prefix}”." in html(page.get("/accounts/keys/"))
    assert row.prefix not in html(page.get("/accounts/keys/"))
    foreign = f"/accounts/keys/{others.pk}/revoke/"
    for response in (page.get(foreign), page.post(foreign)):
        assert response.status_code == 404
    assert find_key(others_key) is not None


def test_a_key_that_has_expired_is_listed_as_such(page: Client, user: User) -> None:
    row, _ = create_key(user, expires_at=timezone.now() + timedelta(days=1))
    assert ", until " in html(page.get("/accounts/keys/"))
    ApiKey.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    assert ", expired " in html(page.get("/accounts/keys/"))


def test_visitors_are_sent_to_the_login(client: Client) -> None:
    assert client.get("/accounts/keys/").status_code == 302
    client.post("/accounts/keys/", FORM)
    assert not ApiKey.objects.exists()
