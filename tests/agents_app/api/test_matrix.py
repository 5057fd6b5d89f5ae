"""Access control: every operation of the schema, with every kind of key."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.utils import timezone
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from agents_app.accounts.api_keys import create_key, revoke_key
from agents_app.api.openai import api as openai_api
from agents_app.api.urls import api as main_api
from agents_app.models import AgentRun, ApiKey, Scope, Ticket
from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Message, Session
from tests.agents_app.api.conftest import ApiClient, grant, key_for
from tests.agents_app.chats import answered, make_user
from tests.factories import phantom, say

pytestmark = pytest.mark.django_db(transaction=True)


class Operation(NamedTuple):
    method: str
    path: str
    scope: str | None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations() -> Iterator[Operation]:
    """All of the schema's operations, with the scopes that they require."""
    for api, root in ((main_api, "/api/v1"), (openai_api, "/v1")):
        for _, router in api._routers:
            for path, view in router.path_operations.items():
                for operation in view.operations:
                    scope = next(
                        (getattr(auth, "scope", None) for auth in operation.auth_callbacks), None
                    )
                    for method in operation.methods:
                        plain = path.replace("{any:", "{")  # without the converter
                        yield Operation(method, f"{root}{plain}", scope)


SCHEMA = main_api.get_openapi_schema()


def described() -> set[str]:
    """The operations as the documentation names them."""
    return {
        f"{method.upper()} {path}"
        for path, methods in SCHEMA["paths"].items()
        for method in methods
    }


OPERATIONS = list(operations())
OPEN = {"GET /api/v1/health"}
# Operations on a user's own rows: for other users, the rows do not seem to exist.
OWNED = [op for op in OPERATIONS if any(part in op.path for part in ("{session}", "_id}"))]
STAFF = [op for op in OPERATIONS if op.scope in {"cleanup", "users"}]
by_name = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


class World(NamedTuple):
    """One user's rows, to be requested."""

    owner: User
    session: Session
    message: Message
    run: AgentRun
    cleanup: CleanupRun

    def fill(self, operation: Operation) -> str:
        path = operation.path.replace("{session}", str(self.session.pk))
        path = path.replace("{message_id}", str(self.message.pk)).replace("{agent}", "simple")
        path = path.replace("{user}", str(self.owner.pk)).replace("{model}", "simple")
        run = self.cleanup if "cleanup-runs" in path else self.run
        path = path.replace("{run_id}", str(run.pk))
        assert "{" not in path, "fill in the new parameter"
        return path


@pytest.fixture
def world() -> World:
    owner = make_user("owner")
    chat_session = answered(owner)
    phantom()
    run = start_cleanup(source=CleanupRun.Source.ADMIN, started_by="admin", matched=1, criteria={})
    run_cleanup(run, Session.objects.all(), Target(), Options())
    answered(make_user("stranger"), "A secret", "Of a stranger")
    return World(
        owner,
        chat_session,
        Message.objects.filter(session=chat_session).order_by("position")[0],
        AgentRun.objects.get(session=chat_session),
        run,
    )


BODIES: dict[str, Any] = {
    # Rejected for their bodies, after the check of the key: no run is started in this process.
    "POST /api/v1/agent/{agent}/run": {"message_content": ""},
    "POST /api/v1/agent/{agent}/run/async": {"message_content": ""},
    "POST /v1/chat/completions": {"model": "simple", "messages": []},
    "POST /api/v1/sessions": {"name": "New"},
    "PATCH /api/v1/sessions/{session}": {"name": "Other"},
}


# Bodies that the agent answers; see agent_answers.
ANSWERED: dict[str, Any] = {
    "POST /api/v1/agent/{agent}/run": {"message_content": "Hello"},
    "POST /api/v1/agent/{agent}/run/async": {"message_content": "Hello"},
    "POST /v1/chat/completions": {
        "model": "simple",
        "messages": [{"role": "user", "content": "Hello"}],
    },
}


@pytest.fixture
def agent_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that wait for an answer get one."""

    def answer(run_id: uuid.UUID) -> None:
        run = AgentRun.objects.select_related("session").get(pk=run_id)
        say(run.session, "Hi!", role="assistant", run=run, user=run.user)
        run.finish(AgentRun.Status.DONE)

    async def wait(run_id: uuid.UUID, seconds: float) -> None:
        await sync_to_async(answer)(run_id)

    monkeypatch.setattr("agents_app.runs.watching.wait", wait)


def call(key: str, operation: Operation, world: World) -> Any:
    body = BODIES.get(str(operation), {} if operation.method in {"POST", "PATCH"} else None)
    return ApiClient(key)(operation.method, world.fill(operation), body)


def snapshot() -> tuple[Any, ...]:
    return (
        sorted(Session.objects.values_list("pk", "name")),
        sorted(Message.objects.values_list("pk", flat=True)),
        sorted(AgentRun.objects.values_list("pk", "status")),
        sorted(User.objects.values_list("pk", flat=True)),
        sorted(Ticket.objects.values_list("pk", flat=True)),
        sorted(CleanupRun.objects.values_list("pk", "restored")),
    )


def test_documentation_names_every_operation() -> None:
    assert described() == {str(operation) for operation in OPERATIONS}
    assert {str(op) for op in OPERATIONS if op.scope is None} == OPEN


@by_name
def test_invalid_keys(operation: Operation, world: World) -> None:
    if str(operation) in OPEN:
        return
    expired, expired_key = create_key(world.owner, scopes=list(Scope))
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - timedelta(days=1))
    revoked, revoked_key = create_key(world.owner, scopes=list(Scope))
    revoke_key(revoked)
    before = snapshot()
    for key in ("", "cs_unknown", expired_key, revoked_key):
        assert call(key, operation, world).status_code == 401
    assert snapshot() == before


@by_name
def test_wrong_scope(operation: Operation, world: World) -> None:
    if operation.scope is None:
        return
    before = snapshot()
    others = [scope for scope in Scope if scope != operation.scope]
    assert call(key_for(world.owner, *others), operation, world).status_code == 403
    assert snapshot() == before


@pytest.mark.parametrize("operation", OWNED, ids=str)
def test_another_user(operation: Operation, world: World) -> None:
    """Not even a superuser can access others' sessions: staff read them in the admin."""
    other, root = make_user("other"), make_user("root", is_superuser=True)
    keys = [key_for(other)]
    if operation not in STAFF:
        keys.append(key_for(root, Scope.CHAT, Scope.READ))  # without the scope to act for others
    for key in keys:
        before = snapshot()
        status = call(key, operation, world).status_code
        assert status == (403 if operation in STAFF else 404)
        assert snapshot() == before


@pytest.mark.parametrize("operation", STAFF, ids=str)
def test_staff_operations_need_a_permission(operation: Operation, world: World) -> None:
    users = [make_user("user"), make_user("staff", is_staff=True)]
    before = snapshot()
    for user in users:
        assert call(key_for(user), operation, world).status_code == 403
    assert snapshot() == before


PERMISSIONS = {
    "POST /api/v1/sessions/cleanup": "sessions_app.delete_session",
    "GET /api/v1/cleanup-runs": "sessions_app.view_cleanuprun",
    "POST /api/v1/cleanup-runs/{run_id}/restore": "sessions_app.restore_session",
    "GET /api/v1/users": "auth.view_user",
    "GET /api/v1/users/{user}": "auth.view_user",
}


# Users who may act for others can follow and stop their runs.
RUNS = {str(op) for op in OPERATIONS if op.path.startswith(("/api/v1/run/", "/api/v1/runs/"))}
OTHER_PERMISSIONS = [
    "sessions_app.read_transcripts",
    "sessions_app.view_session",
    "sessions_app.view_message",
    "sessions_app.review_session",
    "sessions_app.export_session",
    "sessions_app.change_session",
    "agents_app.view_agentrun",
    "agents_app.change_apikey",
    "auth.add_user",
]
ALL_PERMISSIONS = {*PERMISSIONS.values(), *OTHER_PERMISSIONS, "agents_app.act_for_users"}


@by_name
def test_staff_with_one_permission(operation: Operation, world: World) -> None:
    """It allows what it is for, and nothing else: others' sessions are read in the admin."""
    name = str(operation)
    needed = "agents_app.act_for_users" if name in RUNS else PERMISSIONS.get(name)
    # The one that is needed comes last, since the operation may change the rows.
    for permission in sorted(ALL_PERMISSIONS, key=lambda one: (one == needed, one)):
        user = make_user(permission, is_staff=True)
        grant(user, permission)
        key = key_for(user)
        before = snapshot()
        response = call(key, operation, world)
        if permission == needed or (needed is None and operation not in OWNED):
            assert response.status_code in {200, 201, 400, 422}, permission
        else:
            assert response.status_code == (403 if operation in STAFF else 404), permission
            assert snapshot() == before
        if operation not in STAFF and permission != needed:
            assert str(world.message.pk) not in response.content.decode()
            is_told = response.status_code == 200
            assert not is_told or str(world.session.pk) not in response.content.decode()


@pytest.mark.parametrize("operation", STAFF, ids=str)
def test_cleanups_are_for_staff(operation: Operation, world: World) -> None:
    """Whatever permissions others have. Looking up users is also for channels, not only staff."""
    user = make_user("channel", is_superuser=True)
    before = snapshot()
    status = call(key_for(user), operation, world).status_code
    assert status == (403 if operation.scope == "cleanup" else 200)
    assert snapshot() == before


def of_owner(world: World) -> dict[str, set[str]]:
    """The values that the fields of the owner's responses may have."""
    sessions = Session.objects.filter(user=world.owner)
    own: dict[str, Any] = {
        "user_id": [world.owner.pk],
        "session_id": sessions.values_list("pk", flat=True),
        "message_id": Message.objects.filter(session__in=sessions).values_list("pk", flat=True),
        "run_id": AgentRun.objects.filter(session__in=sessions).values_list("pk", flat=True),
    }
    return {field: {str(pk) for pk in pks} for field, pks in own.items()}


def fields_of(value: Any) -> Iterator[tuple[str, Any]]:
    """All names and values in a body, at any depth."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from fields_of(inner)


@by_name
def test_owner(operation: Operation, world: World, agent_answers: None) -> None:
    """Every operation succeeds, with a body that fits its schema and only the owner's rows."""
    User.objects.filter(pk=world.owner.pk).update(is_superuser=True, is_staff=True)
    body = ANSWERED.get(str(operation)) or BODIES.get(str(operation))
    response = ApiClient(key_for(world.owner))(operation.method, world.fill(operation), body)
    assert response.status_code == (201 if str(operation) == "POST /api/v1/sessions" else 200)
    assert response["Cache-Control"] == "no-store"
    described = SCHEMA["paths"][operation.path][operation.method.lower()]["responses"]
    schema = described[response.status_code]["content"]["application/json"]["schema"]
    assert {"$ref", "items"} & set(schema), "it describes nothing"
    found = response.json()
    Draft202012Validator({**schema, "components": SCHEMA["components"]}).validate(found)
    own = of_owner(world)
    for field, value in fields_of(found):
        assert value is None or field not in own or value in own[field], field
    assert "secret" not in response.content.decode()
    assert "stranger" not in response.content.decode() or operation.scope == "users"


def test_what_the_owner_is_told(world: World) -> None:
    """The ids that the test above looks for do occur."""
    api = ApiClient(key_for(world.owner))
    detail = api("GET", f"sessions/{world.session.pk}").json()
    assert {"user_id", "session_id", "run_id"} <= {field for field, _ in fields_of(detail)}
    assert [one["session_id"] for one in api("GET", "sessions").json()["sessions"]] == [
        str(world.session.pk)
    ]


@by_name
def test_what_reads_and_what_fails_makes_no_row(operation: Operation, world: World) -> None:
    key = key_for(world.owner)
    before = snapshot()
    unknown = World(
        world.owner,
        Session(pk=uuid.uuid4()),
        Message(pk=uuid.uuid4()),
        AgentRun(pk=uuid.uuid4()),
        CleanupRun(pk=2**40),
    )
    if operation.method == "GET":
        call(key, operation, world)
    if "{" in operation.path:
        call(key, operation, unknown)
    bodies: list[Any] = [None, "text", [], {"message_content": 1}, {"name": ""}]
    for body in [*bodies, {"message_content": ""}]:
        ApiClient(key)(operation.method, unknown.fill(operation), body)
    for session_id in ("nonsense", str(uuid.uuid4())):
        for accept in ("application/json", "text/event-stream"):
            body = {"message_content": "Hello", "session_id": session_id}
            metadata = {"session_id": session_id}
            body |= {"messages": [{"role": "user", "content": "Hello"}], "metadata": metadata}
            body |= {"model": "simple", "stream": accept == "text/event-stream"}
            response = ApiClient(key)(
                operation.method, unknown.fill(operation), body, Accept=accept
            )
            assert response.status_code >= 400 or operation.method == "GET"
    assert snapshot() == before
