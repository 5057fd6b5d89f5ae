"""Agents and their runs in the admin: validation and display."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from agents_app.models import Agent
from tests.agents_app.chats import failed, make_user
from tests.agents_app.web.helpers import html, queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("admin"))
    return client


def save(admin: Client, model: str = "", *, config: str = "{}") -> Any:
    agent = Agent.objects.get_or_create(name="helper")[0]
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    values = {"name": "helper", "type": "simple", "model": model, "config": config, "active": "on"}
    return admin.post(url, values)


@pytest.mark.parametrize("model", ["", "local", "openai:gpt-4.1-mini", " local "])
def test_valid_models(admin: Client, model: str) -> None:
    assert save(admin, model).status_code == 302
    assert Agent.objects.get(name="helper").model == model.strip()


@pytest.mark.parametrize("model", ["gpt-4.1-mini", "opnai:gpt-4.1-mini", "local:", "nonsense"])
def test_invalid_models(admin: Client, model: str) -> None:
    response = save(admin, model)
    assert response.status_code == 200
    assert "model" in response.context["adminform"].form.errors
    assert Agent.objects.get(name="helper").model == ""


@pytest.mark.parametrize(
    ("config", "stored"), [("", {}), ("null", {}), ('{"temperature": 0.5}', {"temperature": 0.5})]
)
def test_config(admin: Client, config: str, stored: dict[str, Any]) -> None:
    assert save(admin, config=config).status_code == 302
    assert Agent.objects.get(name="helper").config == stored


@pytest.mark.parametrize(
    "config",
    [
        *("[]", '"x"', "{", '{"a": NaN}', '{"a": 1e999}', '{"a": "\\u0000"}', '{"a": "\\ud800"}'),
        '{"a": ' + "1" * 5000 + "}",
        "[" * 100_000,
    ],
    ids=lambda config: str(config)[:20],
)
def test_config_that_cannot_be_stored(admin: Client, config: str) -> None:
    response = save(admin, config=config)
    assert response.status_code == 200
    assert "config" in response.context["adminform"].form.errors


# --- What was imported ----------------------------------------------------------


@pytest.mark.parametrize(
    "imported",
    [
        {"model": "gpt-4.1"},
        {"model": " gpt-4.1 "},
        {"type": ""},
        {"config": ["not", "an object"]},
        {"config": "text"},
        {"name": "helper "},
    ],
    ids=str,
)
def test_an_agent_with_invalid_stored_values_can_be_deactivated(
    admin: Client, imported: dict[str, Any]
) -> None:
    Agent.objects.create(name="helper")
    agent = Agent.objects.create(**{"name": "imported", "type": "simple", **imported})
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    initial = admin.get(url).context["adminform"].form.initial
    sent = {**initial, "config": json.dumps(initial["config"]), "description": "Not in use"}
    sent.pop("active")
    assert admin.post(url, sent).status_code == 302
    agent.refresh_from_db()
    assert (agent.active, agent.description) == (False, "Not in use")
    assert {name: getattr(agent, name) for name in imported} == imported


@pytest.mark.parametrize(
    "change",
    [{"model": "gpt-4.1-mini"}, {"type": ""}, {"config": "[1]"}, {"name": " "}],
    ids=str,
)
def test_changed_values_must_be_valid(admin: Client, change: dict[str, str]) -> None:
    agent = Agent.objects.create(name="imported", model="gpt-4.1", config=[])
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    sent = {"name": "imported", "type": "simple", "model": "gpt-4.1", "config": "[]", **change}
    response = admin.post(url, sent)
    assert response.status_code == 200
    assert set(response.context["adminform"].form.errors) == set(change)


def test_a_new_agent_needs_no_config(admin: Client) -> None:
    sent = {"name": "new", "type": "simple", "config": "null"}
    assert admin.post(reverse("admin:agents_app_agent_add"), sent).status_code == 302
    assert Agent.objects.get(name="new").config == {}


def test_an_address_does_not_make_a_model_valid(admin: Client) -> None:
    url = reverse("admin:agents_app_agent_add")
    sent = {"name": "new", "type": "simple", "model": "nonsense", "config": "{}"}
    assert admin.post(f"{url}?model=nonsense", sent).status_code == 200


def test_config_with_surrogates_is_shown_escaped(admin: Client) -> None:
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL refuses lone surrogates, so that none can be stored to be shown.")
    agent = Agent.objects.create(name="imported", config={"a": "\ud800"})
    url = reverse("admin:agents_app_agent_change", args=[agent.pk])
    assert "\\ud800" in html(admin.get(url))


# --- Runs ----------------------------------------------------------------------


def test_runs_show_how_they_ended(admin: Client) -> None:
    user = make_user()
    run = failed(user, "Are you <b>there</b>?", error="The model's server cannot be reached.")
    url = reverse("admin:agents_app_agentrun_changelist")
    first = html(admin.get(url))
    assert "The model&#x27;s server cannot be reached." in first
    assert reverse("admin:sessions_app_session_change", args=[run.session_id]) in first
    assert "Are you &lt;b&gt;there&lt;/b&gt;?" in first
    assert "cannot be reached" in html(admin.get(url, {"q": "ana", "status__exact": "failed"}))
    assert "cannot be reached" not in html(admin.get(url, {"status__exact": "done"}))

    few = queries(lambda: admin.get(url))
    for _ in range(9):
        failed(user)
    assert queries(lambda: admin.get(url)) == few


def test_runs_are_read_only(admin: Client) -> None:
    run = failed(make_user())
    page = reverse("admin:agents_app_agentrun_change", args=[run.pk])
    shown = html(admin.get(page))
    assert "As far as it" in shown
    assert 'name="_save"' not in shown
    assert admin.post(page, {"status": "done"}).status_code == 403
    assert admin.get(reverse("admin:agents_app_agentrun_add")).status_code == 403
    assert admin.get(reverse("admin:agents_app_agentrun_delete", args=[run.pk])).status_code == 403
    run.refresh_from_db()
    assert run.status == "failed"
