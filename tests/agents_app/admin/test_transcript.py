"""The transcript on a session's admin page."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents_app.models import AgentRun
from tests.agents_app.chats import answered, failed, make_user
from tests.agents_app.web.helpers import html, queries
from tests.factories import say
from tests.sessions_app.admin.helpers import Page, change_url, log_in, staff

REVIEW = ("view_session", "read_transcripts", "view_message", "view_agentrun")

pytestmark = pytest.mark.django_db


def test_the_transcript_shows_how_each_run_ended() -> None:
    run = failed(make_user(), "First question", error="<b>No</b> credit left.")
    say(run.session, "Second question")
    page = Page.of(log_in(staff("reviewer", *REVIEW)), change_url(run.session))
    said = ["First question", "Failed", "As far as it", "<b>No</b> credit left.", "Second question"]
    transcript = page.text[page.text.index("Transcript") :]
    places = [transcript.index(text) for text in said]
    assert places == sorted(places)
    assert "&lt;b&gt;No&lt;/b&gt;" in page.html
    assert change_url(run) in page.links
    assert not page.problems
    plain = Page.of(log_in(staff("plain", *REVIEW[:3])), change_url(run.session))
    assert "credit left" in plain.text
    assert change_url(run) not in plain.links


def test_the_transcript_shows_each_attempt_in_order() -> None:
    run = failed(make_user(), error="Error one")
    for number in ("two", "three"):
        AgentRun.objects.create(
            session=run.session,
            message=run.message,
            status=AgentRun.Status.INTERRUPTED,
            error=f"Error {number}",
            finished_at=run.created_at,
        )
    page = Page.of(log_in(staff("reviewer", *REVIEW)), change_url(run.session))
    places = [page.text.index(f"Error {number}") for number in ("one", "two", "three")]
    assert places == sorted(places)


def test_a_transcript_costs_the_same_number_of_queries_for_1_run_and_for_10(
    client: Client,
) -> None:
    client.force_login(User.objects.create_superuser("root"))
    chat_session = answered(make_user())
    url = change_url(chat_session)
    client.get(url)
    few = queries(lambda: client.get(url))
    for _ in range(9):
        message = say(chat_session)
        AgentRun.objects.create(
            session=chat_session,
            message=message,
            status=AgentRun.Status.DONE,
            finished_at=message.created_at,
        )
    assert queries(lambda: client.get(url)) == few
    assert html(client.get(url)).count("Done") == 10
