"""manage.py load_demo: the sample and the demo users."""

from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db.models import Model

from agents_app.models import Agent
from sessions_app.models import Message, Session
from tests.factories import make_session

pytestmark = pytest.mark.django_db


@pytest.fixture
def debug(settings: Any) -> None:
    settings.DEBUG = True


def load(**options: Any) -> str:
    out = StringIO()
    call_command("load_demo", stdout=out, **options)
    return out.getvalue()


def dump() -> list[Any]:
    tables: list[type[Model]] = [User, Agent, Session, Message, User.user_permissions.through]
    return [list(model._default_manager.order_by("pk").values()) for model in tables]


@pytest.mark.usefixtures("debug")
def test_loads_the_sample_and_prints_logins_that_work() -> None:
    out = load()

    assert Session.objects.count() == 538
    assert Session.objects.removable().count() == 420
    assert Message.objects.count() == 364
    for name in ("admin", "reviewer", "ana"):
        assert f"{name:<10}demo-{name}" in out
        assert authenticate(username=name, password=f"demo-{name}") is not None


@pytest.mark.usefixtures("debug")
def test_agents_of_the_sample_answer_without_a_key() -> None:
    Agent.objects.create(name="mine", model="openai:gpt-4.1")
    load()
    models = dict(Agent.objects.values_list("name", "model"))
    assert models == {"simple": "", "summary": "", "discord": "", "mine": "openai:gpt-4.1"}


@pytest.mark.usefixtures("debug")
def test_agents_of_the_sample_have_names_and_prompts_for_people() -> None:
    Agent.objects.create(name="summary", description="Of our own")
    load()
    agents = {agent.name: agent for agent in Agent.objects.all()}
    assert agents["simple"].shown_name == "Everyday assistant"
    assert agents["discord"].description
    assert agents["simple"].starters
    assert agents["discord"].starters
    own = agents["summary"]
    assert (own.description, own.shown_name, own.starters) == ("Of our own", "summary", [])


@pytest.mark.usefixtures("debug")
def test_chats_have_the_agent_of_their_messages() -> None:
    load()
    chats = Session.objects.exclude(messages=None)
    assert chats.count() == 87
    # 47 have no agent in the sample; the messages of 35 of them refer to one.
    assert chats.filter(agent=None).count() == 12
    assert not chats.filter(agent=None, messages__agent__isnull=False).exists()


@pytest.mark.usefixtures("debug")
def test_logins_have_the_chats_and_permissions_of_their_roles() -> None:
    load()
    admin, reviewer, ana = (User.objects.get(username=n) for n in ("admin", "reviewer", "ana"))

    assert admin.is_superuser
    assert Session.objects.for_user(admin).count() == 456
    assert Session.objects.for_user(ana).count() == 35
    assert not ana.is_staff
    assert not ana.get_all_permissions()
    assert reviewer.is_staff
    assert not reviewer.is_superuser
    assert reviewer.get_all_permissions() == {
        "sessions_app.view_session",
        "sessions_app.read_transcripts",
        "sessions_app.review_session",
        "sessions_app.view_message",
        "sessions_app.view_cleanuprun",
        "agents_app.view_agent",
        "agents_app.view_agentrun",
        "agents_app.view_feedback",
    }


@pytest.mark.usefixtures("debug")
def test_loading_again_changes_nothing() -> None:
    load()
    ana = User.objects.get(username="ana")
    ana.set_password("changed by ana")
    ana.is_staff = True
    ana.save()
    before = dump()

    out = load()

    assert dump() == before
    assert "538 sessions (0 new)" in out
    assert "demo-ana" not in out


def test_without_debug_the_published_passwords_do_not_work() -> None:
    out = load()

    assert not any(user.has_usable_password() for user in User.objects.all())
    assert "demo-" not in out
    assert "DEBUG is off" in out
    assert "changepassword admin" in out


@pytest.mark.usefixtures("debug")
@pytest.mark.parametrize("what", ["user", "session"])
def test_if_empty_leaves_a_database_in_use_alone(what: str) -> None:
    if what == "user":
        User.objects.create_user("eva")
    else:
        make_session()
    before = dump()

    out = load(if_empty=True)

    assert dump() == before
    assert out == "The database is in use already; the demo was not loaded.\n"


@pytest.mark.usefixtures("debug")
def test_if_empty_loads_into_an_empty_database() -> None:
    assert "538 sessions (538 new)" in load(if_empty=True)


@pytest.mark.usefixtures("debug")
def test_an_existing_user_with_that_name_stays_unchanged() -> None:
    User.objects.create_user("admin", "someone@example.org", "own password")
    before = User.objects.values().get()

    load()

    assert User.objects.values().get(username="admin") == before
    assert User.objects.get(email="admin@example.org").username == "admin@example.org"


@pytest.mark.usefixtures("debug")
def test_if_empty_prints_the_logins_that_still_work() -> None:
    load(if_empty=True)
    User.objects.get(username="reviewer").delete()
    ana = User.objects.get(username="ana")
    ana.set_password("changed by ana")
    ana.save()
    before = dump()

    out = load(if_empty=True)

    assert dump() == before
    assert f"{'admin':<10}demo-admin" in out
    assert "reviewer" not in out
    assert "demo-ana" not in out


def test_without_debug_the_logins_are_not_printed_again(settings: Any) -> None:
    settings.DEBUG = True
    load()
    settings.DEBUG = False
    assert "demo-" not in load(if_empty=True) + load()
