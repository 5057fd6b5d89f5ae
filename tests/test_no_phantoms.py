"""No session is created unless a person or a client asks for it."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from agents_app.agents import SimpleAgent
from agents_app.history import MessageHistory
from agents_app.models import Agent, AgentRun, Ticket
from agents_app.services import start_session
from sessions_app.models import CleanupRun, Message, Session
from tests.factories import phantom

# Some pages close their connection, which a transaction around the test would not survive.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ana() -> User:
    return User.objects.create_user("ana")


@pytest.fixture
def run(ana: User) -> AgentRun:
    agent = Agent.objects.get_or_create(name="simple")[0]
    run = start_session(user=ana, agent_id=agent.pk, text="Hello", message_id=uuid.uuid4())
    return run


@pytest.fixture(autouse=True)
def unchanged(run: AgentRun) -> Iterator[None]:
    """Every test here leaves the sessions as they were, and all that belongs to them."""

    def rows() -> list[set[object]]:
        models = (Session, Message, AgentRun, Ticket)
        return [set(model._base_manager.values_list("pk", flat=True)) for model in models]

    before = rows()
    yield
    assert rows() == before


def test_building_agents() -> None:
    for number in range(100):
        agent = SimpleAgent({"name": f"agent {number}"})
        assert agent.message_history.session_id is None


@pytest.mark.parametrize("session_id", [None, "", "nonsense", uuid.uuid4(), str(uuid.uuid4())])
def test_building_histories(session_id: uuid.UUID | str | None) -> None:
    MessageHistory(session_id, system_prompt="Be kind.", no_auto_create=True).add("Hello")


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["migrate"],
        ["makemigrations", "--check", "--dry-run"],
        ["cleanup_sessions", "--dry-run"],
        ["cleanup_sessions"],
        ["load_demo", "--if-empty"],
        ["clearsessions"],
        ["collectstatic", "--dry-run", "--no-input"],
    ],
    ids=" ".join,
)
def test_commands(command: list[str]) -> None:
    call_command(*command, verbosity=0)


def patterns(resolver: URLResolver, route: str = "/") -> Iterator[str]:
    """The routes of all pages, with their arguments in angle brackets."""
    for pattern in resolver.url_patterns:
        path = route + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("\\Z")
        if isinstance(pattern, URLResolver):
            yield from patterns(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield path


@pytest.fixture
def fill(run: AgentRun) -> Callable[[str], str]:
    """Put the ids of rows that exist into a route."""
    cleanup = CleanupRun.objects.create(source="command", started_by="test")
    message = Message.objects.get(session=run.session_id)
    objects = {
        "/admin/sessions_app/session/": run.session_id,
        "/admin/sessions_app/message/": message.pk,
        "/admin/sessions_app/cleanuprun/": cleanup.pk,
        "/admin/agents_app/agent/": run.agent_id,
    }

    def fill(route: str) -> str:
        object_id = next((pk for start, pk in objects.items() if route.startswith(start)), 1)
        return (
            route.replace("<uuid:session_id>", str(run.session_id))
            .replace("<uuid:run_id>", str(run.pk))
            .replace("<path:object_id>", str(object_id))
        )

    return fill


ROUTES = sorted(set(patterns(get_resolver())))


def test_the_routes_are_those_of_the_product() -> None:
    assert {"/chats/", "/chats/<uuid:session_id>/", "/healthz", "/accounts/login/"} <= set(ROUTES)


@pytest.mark.parametrize("who", ["anonymous", "the owner", "a stranger", "staff"])
def test_reading_every_page(
    who: str, ana: User, client: Client, fill: Callable[[str], str], run: AgentRun
) -> None:
    run.finish(AgentRun.Status.FAILED, error="It ends, so that its stream does.")
    if who == "the owner":
        client.force_login(ana)
    elif who == "a stranger":
        client.force_login(User.objects.create_user("bruno"))
    elif who == "staff":
        client.force_login(User.objects.create_superuser("admin"))
    for route in ROUTES:
        response = client.get(fill(route))
        assert response.status_code < 500, route


# What posting alone does, without a field.
DONE_AT_ONCE = ("/accounts/logout", "/chats/<uuid:session_id>/delete", "/chats/all/delete")


def test_refused_posts(client: Client, ana: User, fill: Callable[[str], str]) -> None:
    phantoms = {"action": "remove_empty_sessions", "confirm": "on"}
    for user in (None, ana):
        if user:
            client.force_login(user)
        for route in ROUTES:
            if not route.startswith(DONE_AT_ONCE):
                response = client.post(fill(route), phantoms)
                assert response.status_code < 500, route


def test_the_auto_creating_mode_logs_a_warning(ana: User, caplog: pytest.LogCaptureFixture) -> None:
    history = MessageHistory("nonsense", user_id=ana.pk)
    assert history.session_id is not None
    made = Session.objects.get(pk=history.session_id)
    assert (made.user, made.platform, made.auto_named) == (ana, "automagik", True)
    assert "WARNING" in caplog.text
    made.delete()


def test_a_phantom_is_what_a_cleanup_removes() -> None:
    made = phantom()
    call_command("cleanup_sessions", verbosity=0)
    assert not Session.objects.filter(pk=made.pk).exists()
