"""Malformed requests are refused with 400 instead of failing with 500."""

from typing import Any
from urllib.parse import quote

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin import site as admin_site
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.test import AsyncClient, Client

from sessions_app.models import Session
from tests.factories import make_session

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
PATHS = ["/chats/", "/accounts/login/", "/missing", "/admin/", "/admin/agents_app/agent/add/"]


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("root", "root@example.org", "secret"))
    return client


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("charset", ["utf-16", "idna", "hex", "undefined", "nonsense", "latin-1"])
@pytest.mark.parametrize("kind", [FORM, f"{MULTIPART}; boundary=x", "text/plain"])
def test_charsets_other_than_utf_8(admin: Client, path: str, charset: str, kind: str) -> None:
    content_type = f"{kind}; charset={charset}"
    body = b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nh\xe9\r\n--x--\r\n'
    assert admin.generic("POST", path, body, content_type).status_code == 400
    get = async_to_sync(AsyncClient().get)  # makes the same requests as the server
    assert get(f"{path}?q=%ff", headers={"Content-Type": content_type}).status_code == 400


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8"])
def test_utf_8_is_accepted(admin: Client, charset: str) -> None:
    body = f"username={quote('né')}"
    content_type = f"{FORM}; charset={charset}"
    assert admin.generic("POST", "/admin/login/", body, content_type).status_code in {200, 302}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (MULTIPART, "x"),
        (f"{MULTIPART}; boundary=", "x"),
        (f"{MULTIPART}; boundary={'x' * 300}", "x"),
        (FORM, "&".join(f"f{number}=" for number in range(1100))),
    ],
    ids=["no boundary", "empty boundary", "long boundary", "many fields"],
)
@pytest.mark.parametrize("checked", [True, False], ids=["csrf", "without csrf"])
def test_undecodable_forms(path: str, content_type: str, body: str, checked: bool) -> None:
    client = Client(enforce_csrf_checks=checked)
    response = client.generic("POST", path, body, content_type)
    assert response.status_code == 400
    assert "did not understand" in response.content.decode()
    assert response["Content-Security-Policy"]


LISTS = [
    f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin_site._registry
]
_HUGE = "9" * 30


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "lookup",
    [
        {"name__regex": "[]"},
        {"username__iregex": "("},
        {"created_at__year": _HUGE},
        {"created_at__year__gte": "-1"},
        {"date_joined__year__lt": _HUGE},
        {"created_at__date": "0000-00-00"},
        {"id__in": _HUGE},
        {"id__in": "x"},
        {"id__gt": _HUGE},
        {"agent__id__in": _HUGE},
        {"name": "a\0b"},
        {"status__exact": "\0"},
        {"user": "\0"},
        {"session": "x"},
        {"q": "\0"},
        {"q": "x" * 60_000},
        {"q": " ".join("ab" for _ in range(1500))},
        {"o": _HUGE},
        {"p": _HUGE},
        {"all": "\0"},
        {"nonsense__lookup": "1"},
        {"role__range": "("},
        {"id__range": "1"},
        {"created_at__range": "2026-01-01"},
    ],
    ids=str,
)
def test_invalid_filters(admin: Client, path: str, lookup: dict[str, str]) -> None:
    make_session()
    response = admin.get(path, lookup)
    assert response.status_code in {200, 302, 400}
    if response.status_code == 302:
        assert response["Location"].endswith("?e=1")
        shown = admin.get(response["Location"])
        assert shown.status_code == 200
        assert "Database error" not in shown.content.decode()


@pytest.mark.parametrize("field", ["", "x", "id", "password"])
@pytest.mark.parametrize("path", LISTS)
def test_pages_of_rows_by_another_field(admin: Client, path: str, field: str) -> None:
    for key in ("1", str(make_session().pk)):
        response = admin.get(f"{path}{key}/change/", {"_to_field": field})
        assert response.status_code in {200, 302, 400}


def test_regular_expressions_are_refused(admin: Client) -> None:
    """One such as (a+)+$ keeps the database busy for minutes."""
    for path in LISTS:
        for lookup in ("id__regex", "name__iregex"):
            assert admin.get(path, {lookup: "a"}).status_code == 400


def test_ordinary_filters_still_work(admin: Client) -> None:
    chat_session = make_session(name="This one")
    make_session(name="Another")
    year = str(chat_session.created_at.year)
    page = admin.get(
        "/admin/sessions_app/session/", {"name__startswith": "This", "created_at__year": year}
    ).content.decode()
    assert "This one" in page
    assert "Another" not in page


@pytest.mark.parametrize("key", ["x", _HUGE, "\0", "-1e5", ""])
@pytest.mark.parametrize("path", LISTS)
def test_keys_of_selected_rows_that_do_not_exist(admin: Client, path: str, key: str) -> None:
    for action in ("delete_selected", "remove_empty_sessions"):
        data = {"action": action, "_selected_action": [key], "index": "0"}
        assert admin.post(path, data).status_code in {302, 400, 403, 200}
    assert User.objects.count() == 1


@pytest.mark.parametrize("object_id", ["x", _HUGE, "%00", "0", "-1", quote("é")])
def test_the_admin_shortcut_to_what_does_not_exist(admin: Client, object_id: str) -> None:
    for number in [*ContentType.objects.values_list("pk", flat=True), _HUGE, "x"]:
        response = admin.get(f"/admin/r/{number}/{object_id}/")
        assert response.status_code in {400, 404}


def test_permissions_with_numbers_beyond_every_column(admin: Client) -> None:
    user = User.objects.get()
    data = {"username": "root", "date_joined_0": "2026-01-01", "date_joined_1": "00:00"}
    for field in ("groups", "user_permissions"):
        response = admin.post(f"/admin/auth/user/{user.pk}/change/", {**data, field: [_HUGE]})
        assert response.status_code in {200, 400}


@pytest.mark.parametrize("term", ["\0", "x" * 60_000, " ".join("ab" for _ in range(1500))])
def test_search_terms_of_the_admin(admin: Client, term: str) -> None:
    field = {"app_label": "agents_app", "model_name": "agentrun", "field_name": "user"}
    response = admin.get("/admin/autocomplete/", {**field, "term": term})
    assert response.status_code in {200, 400}


def test_a_cookie_that_holds_nul(client: Client) -> None:
    client.raise_request_exception = False  # Django sends its signal before the error page
    client.cookies.load('sessionid="abcdefgh\\000"')
    for path in ("/chats/", "/missing", "/admin/"):
        assert client.get(path).status_code in {302, 400, 404}


def test_bugs_are_still_a_500(
    client: Client, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    def broken(*arguments: object) -> None:
        raise OverflowError("date value out of range")

    monkeypatch.setattr(Session._default_manager.__class__, "for_user", broken)
    client.force_login(User.objects.create_user("ana"))
    client.raise_request_exception = False
    assert client.get("/chats/").status_code == 500
