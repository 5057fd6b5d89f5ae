"""The trash: what is in it is neither shown, counted nor searched, and can be restored."""

import re
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from agents_app.chats import trash
from agents_app.models import AgentRun
from sessions_app.models import Message, Session
from sessions_app.writing import append_message
from tests.agents_app.chats import answered, ask, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, queries, rows, run_url
from tests.factories import phantom

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def trashed(user: User) -> Session:
    chat_session = answered(user, "About boats", "They float")
    trash.trash_session(chat_session)
    return chat_session


def age(chat_session: Session, days: int) -> None:
    at = timezone.now() - timedelta(days=days)
    Session.objects.filter(pk=chat_session.pk).update(trashed_at=at)


def test_deleted_chat_is_shown_in_the_trash_only(page: Client, trashed: Session) -> None:
    assert "About boats" in html(page.get("/chats/trash/"))
    for url in ("/chats/", "/chats/?q=boats", "/chats/sidebar/", "/chats/all/"):
        assert "About boats" not in html(page.get(url)), url
    hint = page.get(chat_url(trashed))
    assert hint.status_code == 404
    assert "This chat is in your trash." in html(hint)
    assert 'href="/chats/trash/"' in html(hint)
    assert page.post(chat_url(trashed, "chat-rename"), {"name": "New"}).status_code == 404
    assert page.post(chat_url(trashed, "chat-delete")).status_code == 404


def test_restored_chat_is_as_it_was(page: Client, user: User, trashed: Session) -> None:
    response = page.post(chat_url(trashed, "chat-restore"))
    assert (response.status_code, response["Location"]) == (303, chat_url(trashed))
    assert "They float" in html(page.get(chat_url(trashed)))
    assert page.post(chat_url(trashed, "chat-restore")).status_code == 404


def test_deletion_can_be_undone_by_a_script(page: Client, user: User) -> None:
    chat_session = answered(user, "About boats")
    deleted = page.post(chat_url(chat_session, "chat-delete"), headers=JSON).json()
    assert deleted["text"] == "Deleted “About boats”."
    undo = {"trashed_at": deleted["trashed_at"]}
    assert page.post("/chats/restore/", undo, headers=JSON).json() == {"restored": 1}
    assert page.get(chat_url(chat_session)).status_code == 200
    for damaged in ("", "x", "2026-01-01"):
        refused = page.post("/chats/restore/", {"trashed_at": damaged}, headers=JSON)
        assert refused.status_code == 400


def test_late_answer_is_stored_and_there_after_restoring(page: Client, user: User) -> None:
    run = ask(user)
    trash.trash_session(run.session)
    assert page.get(run_url(run, "chat-events")).status_code == 404
    append_message(Message(session_id=run.session_id, role="assistant", text_content="Late"))
    assert run.finish(AgentRun.Status.DONE)
    trash.restore_session(user=user, session_id=run.session_id)
    assert "Late" in html(page.get(chat_url(run.session)))


def test_deleting_for_good_asks_first(page: Client, user: User, trashed: Session) -> None:
    url = chat_url(trashed, "chat-delete-forever")
    assert "This cannot be undone." in html(page.get(url))
    assert rows() == (1, 2, 1)
    assert page.post(url)["Location"] == "/chats/trash/"
    assert rows() == (0, 0, 0)
    assert page.post(url).status_code == 404
    kept = answered(user)
    assert page.post(chat_url(kept, "chat-delete-forever")).status_code == 404
    assert rows() == (1, 2, 1), "it is not in the trash"


def test_trash_is_emptied_when_asked(page: Client, user: User, trashed: Session) -> None:
    kept = answered(user)
    foreign = answered(make_user("bo"))
    trash.trash_session(foreign)
    assert "This cannot be undone." in html(page.get("/chats/trash/empty/"))
    assert page.post("/chats/trash/empty/")["Location"] == "/chats/trash/"
    assert "Deleted 1 chat for good." in html(page.get("/chats/trash/"))
    assert set(Session.objects.values_list("pk", flat=True)) == {kept.pk, foreign.pk}


def make_user_of(chat_session: Session) -> User:
    assert chat_session.user is not None
    return chat_session.user


def test_trash_empties_itself(page: Client, user: User, trashed: Session) -> None:
    old = [answered(user) for _ in range(trash.DELETE_BATCH_SIZE + 1)]
    for chat_session in old:
        age(chat_session, 31)
    age(trashed, 29)
    output = StringIO()
    call_command("empty_trash", stdout=output)
    assert output.getvalue() == f"Deleted {len(old)} chats for good.\n"
    assert Session.objects.get() == trashed


def test_next_deletion_deletes_what_has_expired(page: Client, user: User, trashed: Session) -> None:
    age(trashed, 31)
    assert "The trash is empty." in html(page.get("/chats/trash/"))
    assert Session.objects.filter(pk=trashed.pk).exists(), "a page that is read deletes nothing"
    deleted = answered(user)
    page.post(chat_url(deleted, "chat-delete"))
    assert Session.objects.get() == deleted


def test_all_chats_are_deleted_and_restored_together(
    page: Client, user: User, trashed: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and not only those on the page; what was in the trash stays there."""
    monkeypatch.setattr(trash, "_MOVE_BATCH_SIZE", 2)
    own = {answered(user, f"Chat {number}").pk for number in range(5)}
    others = answered(make_user("eve"))
    empty = phantom(user=user)
    assert "5 chats will be moved" in html(page.get("/chats/all/delete/"))
    response = page.post("/chats/all/delete/")
    assert (response.status_code, response["Location"]) == (303, "/chats/all/")
    shown = html(page.get("/chats/all/"))
    assert "Deleted 5 chats." in shown
    assert "No chats yet." in shown
    left = Session.objects.not_trashed()
    assert set(left) == {others, empty}, "what no list has shown was not asked about"
    [undo] = re.findall(r'name="trashed_at" value="([^"]+)"', shown)
    page.post("/chats/restore/", {"trashed_at": undo})
    assert set(left.filter(user=user, runs__isnull=False).values_list("pk", flat=True)) == own
    assert Session.objects.trash_of(user).get() == trashed


def test_the_whole_trash_is_restored_but_for_what_has_expired(
    page: Client, user: User, trashed: Session
) -> None:
    expired = answered(user)
    trash.trash_session(expired)
    age(expired, 31)
    foreign = answered(make_user("eve"))
    trash.trash_session(foreign)
    response = page.post("/chats/trash/restore/")
    assert (response.status_code, response["Location"]) == (303, "/chats/trash/")
    assert "Restored 1 chat." in html(page.get("/chats/trash/"))
    assert Session.objects.not_trashed().get() == trashed


def test_trash_takes_the_same_queries_however_full(page: Client, user: User) -> None:
    few = queries(lambda: page.get("/chats/trash/"))
    for _ in range(5):
        trash.trash_session(answered(user))
    assert queries(lambda: page.get("/chats/trash/")) == few


def test_strangers_get_404(client: Client, user: User, trashed: Session) -> None:
    own = answered(user)
    client.force_login(make_user("eve"))
    before = rows()
    requests: list[tuple[Any, str, Session]] = [
        (client.get, "chat-rename", own),
        (client.post, "chat-pin", own),
        (client.post, "chat-delete", own),
        (client.get, "chat", trashed),
        (client.post, "chat-restore", trashed),
        (client.get, "chat-delete-forever", trashed),
        (client.post, "chat-delete-forever", trashed),
    ]
    for method, name, chat_session in requests:
        response = method(chat_url(chat_session, name))
        assert response.status_code == 404, name
        assert "trash" not in html(response).lower().replace("your trash.", ""), name
    at = Session.objects.values_list("trashed_at", flat=True).get(pk=trashed.pk)
    assert at is not None
    client.post("/chats/restore/", {"trashed_at": at.isoformat()})
    client.post("/chats/all/", {"action": "delete", "chats": [str(own.pk)]})
    client.post("/chats/trash/empty/")
    assert rows() == before
    assert Session.objects.filter(trashed_at=None).get() == own
