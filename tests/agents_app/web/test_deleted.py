"""A chat that is deleted or removed in the middle of a request."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client

from agents_app.chats.trash import delete_forever, trash_session
from sessions_app.models import RemovedSession, Session
from tests.agents_app.chats import answered, ask, failed
from tests.agents_app.web.helpers import JSON, chat_url, html, message, rows, run_url
from tests.concurrency.helpers import before_statement, elsewhere
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)

READS_CHAT = 'FROM "sessions"'
# Where a use-case's transaction begins to lock.
LOCKS = "BEGIN" if connection.vendor == "sqlite" else "FOR UPDATE"


@pytest.fixture
def deleted(user: User) -> Callable[[Session], None]:
    """Delete a chat in another tab."""

    def delete(chat_session: Session) -> None:
        def forever() -> None:
            trash_session(chat_session)
            delete_forever(chat_session)

        elsewhere(forever)

    return delete


def clean_up() -> None:
    elsewhere(lambda: call_command("cleanup_sessions", verbosity=0))


@pytest.mark.parametrize("headers", [{}, JSON], ids=["browser", "script"])
def test_rename_of_what_a_cleanup_has_just_removed(
    page: Client, user: User, headers: dict[str, str]
) -> None:
    url = chat_url(phantom(user=user), "chat-rename")
    with before_statement('UPDATE "sessions"', clean_up):
        response = page.post(url, {"name": "Keep this"}, headers=headers)
    assert response.status_code == 404
    assert "This chat has been deleted." in html(response)
    assert RemovedSession.objects.get().name.startswith("Session-")


def test_deletion_of_what_a_cleanup_has_just_removed(page: Client, user: User) -> None:
    """It is in the archive, and can be restored: it was not deleted as requested."""
    url = chat_url(phantom(user=user), "chat-delete")
    with before_statement(LOCKS, clean_up):
        response = page.post(url)
    assert response.status_code == 404
    assert "This chat has been deleted." in html(response)


def refused_rename(user: User) -> tuple[Session, str, dict[str, str]]:
    chat_session = answered(user)
    return chat_session, chat_url(chat_session, "chat-rename"), {"name": " "}


def refused_message(user: User) -> tuple[Session, str, dict[str, str]]:
    chat_session = answered(user)
    return chat_session, chat_url(chat_session, "chat-send"), message(" ")


def refused_retry(user: User) -> tuple[Session, str, dict[str, str]]:
    run = ask(user)
    run.finish(run.Status.STOPPED)
    return run.session, run_url(run, "chat-retry"), {}


@pytest.mark.parametrize("refused", [refused_rename, refused_message, refused_retry])
def test_chat_that_is_deleted_before_a_refusal_is_shown_on_it(
    page: Client, user: User, refused: Callable[[User], Any], deleted: Callable[[Session], None]
) -> None:
    chat_session, url, form = refused(user)
    # First the view reads the chat, then the page on which it shows why it refuses.
    with before_statement(READS_CHAT, lambda: deleted(chat_session), nth=shown_after(refused)):
        response = page.post(url, form)
    assert response.status_code == 404
    assert "There is no such chat." in html(response)
    assert rows() == (0, 0, 0)


def shown_after(refused: Callable[[User], Any]) -> int:
    # A run that is retried is read with its chat, by a statement of another kind.
    return 1 if refused is refused_retry else 2


def test_page_of_a_refusal_may_be_missing_itself(page: Client, user: User) -> None:
    url = chat_url(answered(user), "chat-send")
    assert page.post(f"{url}?before=x", message(" ")).status_code == 404


def test_head_works_wherever_get_does(page: Client, user: User) -> None:
    run = failed(user)
    for url in (
        "/",
        "/chats/",
        "/chats/?q=x",
        chat_url(run.session),
        f"{chat_url(run.session)}?before=2&fragment=on",
        chat_url(run.session, "chat-delete"),
        run_url(run, "chat-events"),
        "/accounts/login/",
        "/healthz",
    ):
        got, headed = page.get(url), page.head(url)
        assert headed.status_code == got.status_code, url
        assert headed["Content-Type"] == got["Content-Type"], url
        assert not headed.content, url
    assert page.head(f"/chats/{uuid4()}/").status_code == 404
    assert page.head(chat_url(run.session, "chat-send")).status_code == 405
