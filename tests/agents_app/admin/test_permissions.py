"""What staff see of users, chats and runs in the admin, by permission."""

import uuid

import pytest
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from agents_app.models import AgentRun
from tests.agents_app.chats import ask, failed, make_agent, make_user
from tests.sessions_app.admin.helpers import Page, change_url, log_in, message_url, staff

RUNS = "/admin/agents_app/agentrun/"
REVIEW = ("view_session", "view_message", "read_transcripts", "view_agentrun")

pytestmark = pytest.mark.django_db


def pages_of(run: AgentRun) -> list[str]:
    """Every page of the admin that shows the run, its chat or its message."""
    rows = [run, run.session, run.message]
    return [change_url(row).removesuffix(f"{row.pk}/change/") for row in rows] + [
        change_url(row) for row in rows
    ]


@pytest.mark.parametrize(
    "rights",
    [
        REVIEW,
        ("view_session",),
        ("view_message", "read_transcripts"),
        ("view_session", "read_transcripts"),
        ("view_session", "view_message"),
        ("view_agentrun",),
        ("change_session", "view_message", "read_transcripts"),
        (*REVIEW, "view_user", "view_agent"),
    ],
)
def test_no_link_is_forbidden_or_broken(rights: tuple[str, ...]) -> None:
    run = failed(make_user())
    client = log_in(staff("clerk", *rights))
    for url in pages_of(run):
        page = Page.of(client, url)
        if page.status == 403:
            continue
        for link in page.links:
            if link.startswith("/admin/"):
                assert client.get(link).status_code in {200, 302}, f"{link} on {url}"


def test_related_rows_are_linked_for_staff_who_may_view_them() -> None:
    ana, agent = make_user(), make_agent()
    run = failed(ana)
    client = log_in(staff("clerk", *REVIEW, "view_user", "view_agent"))
    for row in (run, run.session, run.message):
        assert {change_url(ana), change_url(agent)} <= set(Page.of(client, change_url(row)).links)
    assert message_url(run.message) in Page.of(client, change_url(run)).links
    plain = Page.of(log_in(staff("reviewer", *REVIEW)), change_url(run))
    assert "ana" in plain.text
    assert change_url(ana) not in plain.links


# --- Runs without the right to read chats ------------------------------------------


@pytest.fixture
def clerk() -> Client:
    return log_in(staff("clerk", "view_agentrun"))


def test_the_permission_for_runs_does_not_show_chats(clerk: Client) -> None:
    run = failed(make_user(), "A very private question")
    for url in (RUNS, change_url(run)):
        page = Page.of(clerk, url)
        assert page.status == 200
        assert "The model did not answer." not in page.text
        assert "ana" in page.text
        assert "private" not in page.html
        assert "As far as it" not in page.html
        assert str(run.session_id) not in page.html
    reader = Page.of(log_in(staff("reader", *REVIEW)), change_url(run))
    for text in ("private", "As far as it", "The model did not answer."):
        assert text in reader.text


def test_the_permission_for_runs_does_not_search_chats(clerk: Client) -> None:
    run = failed(make_user(), "A very private question")
    reader = log_in(staff("reader", *REVIEW))
    assert str(run.pk) in Page.of(reader, f"{RUNS}?q=private").html
    assert str(run.pk) not in Page.of(clerk, f"{RUNS}?q=private").html
    assert str(run.pk) in Page.of(clerk, f"{RUNS}?q=ana").html
    assert str(run.pk) in Page.of(reader, f"{RUNS}?q=did+not+answer").html
    assert str(run.pk) not in Page.of(clerk, f"{RUNS}?q=did+not+answer").html
    for lookup in (
        *("text__startswith=As", "error__startswith=The", "message__text_content__startswith=A"),
        *(f"session={run.session_id}", "session__name=x"),
    ):
        assert clerk.get(f"{RUNS}?{lookup}").status_code == 400
    assert reader.get(f"{RUNS}?text__startswith=As").status_code == 200


def test_the_permission_for_messages_does_not_show_names_of_chats() -> None:
    run = failed(make_user(), "Question")
    run.session.name = "Private matters"
    run.session.save()
    clerk = log_in(staff("clerk", "view_message", "read_transcripts"))
    messages = reverse("admin:sessions_app_message_changelist")
    for url in (messages, change_url(run.message), f"{messages}?session={run.session_id}"):
        assert "Private matters" not in Page.of(clerk, url).html
    assert "Question" in Page.of(clerk, messages).text


# --- Nothing is told of what exists ------------------------------------------------


@pytest.mark.parametrize("page", ["change", "history", "delete"])
def test_without_permissions_nothing_is_shown(page: str) -> None:
    run, agent = ask(make_user()), make_agent()
    nobody = log_in(staff("nobody"))
    token = nobody.cookies["csrftoken"].value
    rows: list[Model] = [run, run.session, run.message, agent]
    for row in rows:
        there = change_url(row).removesuffix("change/") + f"{page}/"
        unknown = "987654" if row is agent else str(uuid.uuid4())
        for url in (there, there.replace(f"/{row.pk}/", f"/{unknown}/")):
            assert nobody.get(url).status_code == 403, url
            data = {"csrfmiddlewaretoken": token, "post": "yes", "dependents": "77"}
            assert nobody.post(url, data).status_code == 403, url
