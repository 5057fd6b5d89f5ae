"""API keys, and the API served with a model whose answers the test determines."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from agents_app.accounts.api_keys import create_key
from agents_app.models import Agent, AgentRun, Scope
from tests.agents_app.chats import make_agent, make_user
from tests.conftest import database_url
from tests.model_server import ToldModel, served_model
from tests.serving import serve


class ApiClient:
    """Calls the API in this process; no worker answers runs."""

    def __init__(self, key: str = "") -> None:
        self.key = key
        self._client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        if self.key:
            headers = {"X-API-Key": self.key, **headers}
        return self._client.generic(
            method,
            path if path.startswith("/") else f"/api/v1/{path}",
            data=b"" if body is None else _json(body),
            content_type="application/json",
            headers=headers,
        )


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


MakeKey = Callable[..., str]


def key_for(user: User, *scopes: Scope) -> str:
    return create_key(user, scopes=scopes or list(Scope))[1]


def grant(user: User, *permissions: str) -> None:
    for permission in permissions:
        app, codename = permission.split(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )


@pytest.fixture
def user() -> User:
    return make_user()


@pytest.fixture
def agent() -> Agent:
    return make_agent(description="A helpful assistant.")


@pytest.fixture
def api(user: User) -> ApiClient:
    """The API, called with a key of the user's that has every scope."""
    return ApiClient(key_for(user))


@pytest.fixture(scope="module")
def model_server() -> Iterator[ToldModel]:
    with served_model(ToldModel()) as running:
        yield running


@pytest.fixture(scope="module")
def served(django_db_setup: None, model_server: ToldModel) -> Iterator[str]:
    """The address of the server, which runs in a separate process."""
    with serve(
        database_url(),
        AGENT_MODEL="fake",
        AGENT_BASE_URL=model_server.base_url,
        API_REQUESTS_PER_MINUTE="0",
    ) as server:
        yield server.address


@pytest.fixture
def model(model_server: ToldModel, served: str, transactional_db: None) -> Iterator[ToldModel]:
    yield model_server
    model_server.release()
    while active := AgentRun.objects.active().first():
        # Stopped before the tables are emptied.
        key = key_for(active.session.user or make_user("nobody"))
        headers = {"X-API-Key": key}
        httpx2.post(f"{served}/api/v1/runs/{active.pk}/stop", headers=headers).raise_for_status()


@pytest.fixture
def http(served: str, model: ToldModel, user: User, agent: Agent) -> Iterator[httpx2.Client]:
    """A client of the served API, with a key of the user's."""
    headers = {"X-API-Key": key_for(user)}
    with httpx2.Client(base_url=f"{served}/api/v1/", headers=headers, timeout=30) as client:
        yield client
