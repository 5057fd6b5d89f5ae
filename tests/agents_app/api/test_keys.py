"""API keys: how they are created, sent, limited and revoked."""

import base64
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from agents_app.accounts.api_keys import create_key, find_key, revoke_key
from agents_app.models import ApiKey, Scope
from tests.agents_app.api.conftest import ApiClient, key_for

pytestmark = pytest.mark.django_db


def test_key_is_stored_as_a_digest(user: User) -> None:
    row, key = create_key(user, name="laptop")
    stored = ApiKey.objects.values().get()
    assert key not in str(stored)
    assert key.startswith(row.prefix)
    assert str(row) == f"laptop ({row.prefix}…)"


@pytest.mark.parametrize("header", ["X-API-Key", "Authorization"])
def test_headers(user: User, header: str) -> None:
    key = key_for(user)
    value = f"Bearer {key}" if header == "Authorization" else key
    assert ApiClient()("GET", "agents", **{header: value}).status_code == 200


@pytest.mark.parametrize("value", ["bearer {}", "BEARER  {} ", "Bearer {}"])
def test_scheme_in_any_spelling(user: User, value: str) -> None:
    header = value.format(key_for(user))
    assert ApiClient()("GET", "agents", Authorization=header).status_code == 200


@pytest.mark.parametrize("value", ["{}", "Bearer", "Token {}", "Basic {}", "Bearer{}"])
def test_other_schemes_are_not_logged(
    user: User, settings: Settings, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """Neither in plain text nor encoded, as by `curl --user ana:KEY`."""
    settings.DEBUG = True
    key = key_for(user)
    encoded = base64.b64encode(f"ana:{key}".encode()).decode()
    for sent in (key, encoded):
        response = ApiClient()("GET", "agents", Authorization=value.format(sent))
        assert response.status_code == 401
        assert sent not in caplog.text


@pytest.mark.parametrize("key", ["", "cs_unknown", "ü", "x" * 5000])
def test_without_a_valid_key(user: User, key: str) -> None:
    response = ApiClient(key)("GET", "agents")
    assert response.status_code == 401
    assert response.json()["code"] == "no_valid_key"
    assert response["WWW-Authenticate"] == "Bearer"


def test_cookies_do_not_count(user: User) -> None:
    client = ApiClient()
    client._client.force_login(user)
    assert client("GET", "agents").status_code == 401


@pytest.mark.parametrize(
    "query",
    [
        *("api_key={}", "X-API-Key=x", "access_token={}", "token={}", "auth=Bearer%20{}"),
        *("a={}&a=1", "{}", "{}=1"),
    ],
)
@pytest.mark.parametrize("path", ["agents", "/v1/models"])
def test_key_in_the_address(user: User, path: str, query: str) -> None:
    key = key_for(user)
    for sent in ("", key):
        response = ApiClient(sent)("GET", f"{path}?{query.format(key)}")
        assert response.status_code == 401
        assert response["WWW-Authenticate"] == "Bearer"
        assert "A key in a URL ends up in logs" in response.content.decode()
        assert "X-API-Key header" in response.content.decode()


def test_words_that_only_resemble_a_key(api: ApiClient) -> None:
    assert api("GET", "sessions?cursor=topics_x").status_code == 422


def test_expired_revoked_and_inactive(user: User) -> None:
    row, key = create_key(user, expires_at=timezone.now() + timedelta(days=1))
    client = ApiClient(key)
    assert client("GET", "agents").status_code == 200
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client("GET", "agents").status_code == 401
    ApiKey.objects.update(expires_at=None)
    assert client("GET", "agents").status_code == 200
    User.objects.update(is_active=False)
    assert client("GET", "agents").status_code == 401
    User.objects.update(is_active=True)
    assert revoke_key(row)
    assert not revoke_key(row)
    assert client("GET", "agents").status_code == 401


def test_wrong_scope(user: User) -> None:
    response = ApiClient(key_for(user, Scope.READ))("POST", "sessions", {"name": "x"})
    assert response.status_code == 403
    assert response.json() == {
        "detail": "This key does not have the scope 'chat'.",
        "code": "wrong_scope",
    }


def test_last_use_is_recorded_once_a_minute(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key = key_for(user)
    assert find_key(key) is not None
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    with django_assert_num_queries(1):
        find_key(key)
    assert ApiKey.objects.get().last_used_at == first


def test_limit_of_requests(user: User, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    client, other = ApiClient(key_for(user)), ApiClient(key_for(user))
    statuses = [client("GET", "agents").status_code for _ in range(3)]
    refused = client("GET", "agents")
    if refused.status_code == 200:  # a new minute has started
        statuses = [client("GET", "agents").status_code for _ in range(2)]
        refused = client("GET", "agents")
    assert set(statuses) == {200}
    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_requests"
    assert 0 < int(refused["Retry-After"]) <= 61
    assert other("GET", "agents").status_code == 200


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no unlogged tables")
def test_counting_requests_waits_for_no_disk(user: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'")
        assert cursor.fetchall() == [("api_key_requests",)]


class TestCommand:
    def test_prints_the_key_alone_on_the_last_line(
        self, user: User, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call_command(
            "create_api_key", "ana", "--name", "bot", "--scope", "read", "--expires", "90d"
        )
        key = capsys.readouterr().out.splitlines()[-1]
        found = find_key(key)
        assert found is not None
        assert (found.user, found.name, found.scopes) == (user, "bot", ["read"])
        assert found.expires_at is not None
        assert abs(found.expires_at - timezone.now() - timedelta(days=90)) < timedelta(minutes=1)

    def test_default_scopes(self, user: User, capsys: pytest.CaptureFixture[str]) -> None:
        call_command("create_api_key", "ana")
        assert ApiKey.objects.get().scopes == ["chat", "read"]

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (["nobody"], "There is no user nobody"),
            (["ana", "--scope", "everything"], "invalid choice"),
            (["ana", "--expires", "soon"], "not an age"),
            (["ana", "--expires", "2020-01-01"], "expired already"),
            (["ana", "--name", "x" * 201], "at most 200 characters"),
        ],
    )
    def test_errors(self, user: User, arguments: list[str], error: str) -> None:
        with pytest.raises(CommandError, match=error):
            call_command("create_api_key", *arguments)
        assert not ApiKey.objects.exists()
