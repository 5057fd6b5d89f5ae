"""Errors raised outside views: they have the API's format, too, and are not HTML pages."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.urls import get_resolver
from pytest_django import Settings

from agents_app.api.error_routing import error_responder_for
from agents_app.models import Agent
from config.form_encoding import MULTIPART, URL_ENCODED
from config.middleware import ReadableRequestMiddleware
from sessions_app.models import Session
from tests.agents_app.api.conftest import ApiClient, key_for
from tests.agents_app.chats import make_agent, make_user
from tests.conftest import database_url
from tests.serving import serve

PATHS = ["/api/v1/agents", "/api/v1/missing", "/api/v1/health", "/v1/models", "/v1/missing"]
RUN, COMPLETIONS = "/api/v1/agent/simple/run", "/v1/chat/completions"
# Content types that programs send, correct or not.
CONTENT_TYPES = ["application/json", "", URL_ENCODED, MULTIPART, f"{MULTIPART}; boundary=x"]
TOO_LARGE = django_settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1

SAID = {"message_content": "x"}


def user_says(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def error_of(response: Any, path: str) -> tuple[int, str]:
    """The status and the code of an error, whose format depends on the path."""
    body = json.loads(response.content)
    assert response.headers["Cache-Control"] == "no-store"
    if path.startswith("/v1/"):
        assert set(body) == {"error"}
        assert body["error"]["message"]
        return response.status_code, body["error"]["code"]
    assert set(body) == {"detail", "code"}
    assert body["detail"]
    return response.status_code, body["code"]


def test_every_path_of_the_api_has_a_shape() -> None:
    patterns = get_resolver("agents_app.api.urls").url_patterns
    starts = [str(pattern.pattern) for pattern in patterns if "(" not in str(pattern.pattern)]
    assert [start for start in starts if not error_responder_for(f"/{start}")] == ["api/"]
    assert error_responder_for("/chats/") is None


@pytest.mark.parametrize("path", PATHS)
def test_unknown_host(client: Client, path: str) -> None:
    response = client.get(path, headers={"Host": "elsewhere.example"})
    assert error_of(response, path) == (400, "bad_request")
    assert "ALLOWED_HOSTS" not in response.content.decode()


@pytest.mark.parametrize("path", PATHS)
def test_unknown_charset(client: Client, path: str) -> None:
    response = client.generic("POST", path, b"{}", "application/json; charset=utf-16")
    assert error_of(response, path) == (400, "bad_request")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [RUN, COMPLETIONS])
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_large_bodies(user: User, path: str, content_type: str) -> None:
    headers = {"X-API-Key": key_for(user)}
    response = Client().generic("POST", path, b"a" * TOO_LARGE, content_type, headers=headers)
    assert error_of(response, path) == (413, "too_large")


@pytest.mark.django_db
@pytest.mark.parametrize("path", [RUN, COMPLETIONS])
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    "body",
    [b"a=%ff", b"&" * 1100, b"\xff", b"[" * 100_000],
    ids=["form", "large form", "bytes", "deep"],
)
def test_what_is_not_json(user: User, path: str, content_type: str, body: bytes) -> None:
    headers = {"X-API-Key": key_for(user)}
    response = Client().generic("POST", path, body, content_type, headers=headers)
    assert error_of(response, path) == (422 if path == RUN else 400, "invalid")
    assert "The body is not valid JSON." in response.content.decode()


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/api/v1/agents", "GET, HEAD"),
        ("/api/v1/agent/simple/run", "POST"),
        ("/api/v1/sessions", "GET, HEAD, POST"),
        ("/api/v1/sessions/x", "DELETE, GET, HEAD, PATCH"),
        ("/api/v1/sessions/cleanup", "DELETE, GET, HEAD, PATCH, POST"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/models/simple", "GET, HEAD"),
        ("/v1/chat/completions", "POST"),
    ],
)
def test_refused_methods(path: str, allow: str) -> None:
    client = Client(enforce_csrf_checks=True)
    response = client.put(path)
    assert error_of(response, path) == (405, "method_not_allowed")
    assert response["Allow"] == allow


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v1/", "/v1", "/v1/", "/api/v1/tools%0a", "/api/v1/x%0a", "/v1/x%0ay"]
)
def test_paths_that_are_nothing(
    client: Client, settings: Settings, path: str, method: str, debug: bool
) -> None:
    settings.DEBUG = debug
    response = client.generic(method, path)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/json"
    if method != "HEAD":
        assert error_of(response, f"{path}/")[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        *(
            "tools",
            "tools/x",
            "mcp/servers",
            "workflows/",
            "analytics/a/b",
            "prompts",
            "memories/1",
            "messages",
        ),
        *("agent/create", "agent/simple", "agent/simple/copy"),
        *("agent/1/prompt", "agent/1/prompt/2"),
        "agent/1/prompt/2/activate",
    ],
)
def test_what_only_automagik_has(client: Client, path: str) -> None:
    response = client.get(f"/api/v1/{path}")
    assert error_of(response, "/api/v1/") == (404, "not_part_of_this_product")


@pytest.mark.parametrize("path", ["agent", "agent/simple/walk", "agent/1/prompt/2/else", "tool"])
def test_what_nobody_has(client: Client, path: str) -> None:
    assert error_of(client.get(f"/api/v1/{path}"), "/api/v1/") == (404, "not_found")


def test_the_documentation_names_what_is_absent(client: Client) -> None:
    described = client.get("/api/v1/openapi.json").json()["info"]["description"]
    for path in ("/tools", "/agent/create", "/agent/{id}/prompt/{id}/activate"):
        assert f"`{path}`" in described


def test_head(client: Client) -> None:
    response = client.head("/api/v1/health")
    assert (response.status_code, response.content) == (200, b"")
    assert client.head("/api/v1/agents").status_code == 401


@pytest.mark.parametrize(
    ("error", "expected"),
    [(OperationalError("database is locked"), (503, "busy")), (OSError(), (500, "internal_error"))],
    ids=["busy", "bug"],
)
@pytest.mark.parametrize("path", PATHS)
def test_errors_in_middleware(
    monkeypatch: pytest.MonkeyPatch, path: str, error: Exception, expected: tuple[int, str]
) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(ReadableRequestMiddleware, "__call__", fail)
    response = Client(raise_request_exception=False).get(path)
    assert error_of(response, path) == expected
    assert ("Retry-After" in response) == (expected[0] == 503)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("POST", "agent/simple/run", None, "body: Field required."),
        ("POST", "agent/simple/run", [], "body: Input should be an object."),
        ("POST", "agent/simple/run", {}, "message_content: Field required."),
        ("POST", "agent/simple/run", {**SAID, "user": "x"}, "user: Input should be an object."),
        ("POST", "agent/simple/run", {**SAID, "context": "x"}, "context: Input should be an obj"),
        ("POST", "agent/simple/run", {"message_content": ""}, "message_content: Write a message"),
        ("POST", "agent/simple/run", {"message_content": " "}, "message_content: Write a message"),
        ("POST", "agent/simple/run", {"message_content": "\0"}, "message_content: The text cont"),
        ("POST", "agent/simple/run", {**SAID, "session_name": " "}, "session_name: A chat needs"),
        ("POST", "agent/simple/run", {**SAID, "user_id": []}, "user_id: Input should be a valid"),
        ("POST", "agent/simple/run", {**SAID, "user": {"email": 5}}, "user.email: Input should be"),
        ("POST", "agent/simple/run", {**SAID, "context": {"a": "\0"}}, "context: The text cont"),
        (
            "POST",
            "agent/simple/run",
            {**SAID, "parameters": {"max_tokens": 0}},
            "parameters.max_tokens: Input should be",
        ),
        ("POST", "agent/simple/run?wait=x", SAID, "wait: Input should be"),
        ("POST", "sessions", {"name": "x", "agent": []}, "agent: Input should be a valid"),
        ("POST", "sessions", {"name": " "}, "name: A chat needs a name."),
        ("PATCH", "sessions/x", {"name": ""}, "name: A chat needs a name."),
        ("GET", "sessions?page=0", None, "page: Input should be"),
    ],
)
def test_bad_requests_name_the_field(
    api: ApiClient, method: str, path: str, body: Any, detail: str
) -> None:
    response = api(method, path, body)
    assert error_of(response, path)[0] == 422
    text = response.json()["detail"]
    assert text.startswith(detail)
    assert text.endswith(".")
    assert not text.endswith("..")
    assert "Value error" not in text


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "param", "message"),
    [
        ({"model": 5}, "model", "model: Input should be a valid string."),
        ({"model": "nobody"}, "model", "There is no active agent"),
        ({"messages": [{"role": "x"}]}, "messages.0.role", "messages.0.role: Input should be"),
        ({"messages": [user_says(5)]}, "messages.0.content", "messages.0.content: Input should"),
        (
            {"messages": [user_says([{"type": "text", "text": 5}])]},
            "messages.0.content.0.text",
            "messages.0.content.0.text: Input should",
        ),
        ({"messages": [user_says(" ")]}, "messages", "The last message is empty."),
        ({"messages": [user_says([{"type": "image_url"}])]}, "messages", "Only text can be sent."),
        ({"temperature": 3}, "temperature", "temperature: Input should be"),
        ({"metadata": {"session_id": "x"}}, "metadata.session_id", "There is no session x."),
    ],
)
def test_openai_errors_name_the_field(
    api: ApiClient, agent: Agent, changed: dict[str, Any], param: str, message: str
) -> None:
    body = {"model": "simple", "messages": [user_says("Hello")], **changed}
    error = api("POST", "/v1/chat/completions", body).json()["error"]
    assert error["param"] == param
    assert error["message"].startswith(message)


@pytest.fixture(scope="module")
def address(django_db_setup: None) -> Iterator[str]:
    with serve(database_url(), DEBUG="off", API_REQUESTS_PER_MINUTE="0") as server:
        yield server.address


@pytest.fixture
def key(transactional_db: None) -> str:
    make_agent()
    return key_for(make_user())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", [RUN, COMPLETIONS])
@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_large_bodies_as_served(address: str, key: str, path: str, is_chunked: bool) -> None:
    body = b'{"message_content": "' + b"a" * TOO_LARGE + b'"}'
    content = iter([body]) if is_chunked else body
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    response = httpx2.post(address + path, content=content, headers=headers, timeout=30)
    assert error_of(response, path) == (413, "too_large")
    assert not Session.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "header",
    [
        {"Host": "elsewhere.example"},
        {"Content-Type": "text/plain; a*=nonsense''%ff"},
    ],
    ids=["host", "unknown encoding"],
)
def test_damaged_headers_as_served(address: str, path: str, header: dict[str, str]) -> None:
    response = httpx2.get(address + path, headers=header, timeout=30)
    assert error_of(response, path) == (400, "bad_request")
