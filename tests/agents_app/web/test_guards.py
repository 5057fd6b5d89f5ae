"""Allowed methods, and allowed links in answers."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.agents_app.chats import answered, failed, make_user
from tests.agents_app.web.helpers import JSON, chat_url, html, rows, run_url

pytestmark = pytest.mark.django_db(transaction=True)


def test_only_posts_change_anything(page: Client, user: User) -> None:
    run = failed(user)
    before = rows()
    for url in (
        chat_url(run.session, "chat-send"),
        chat_url(run.session, "chat-pin"),
        chat_url(run.session, "chat-restore"),
        run_url(run, "chat-stop"),
        run_url(run, "chat-retry"),
    ):
        for method in (page.get, page.head, page.put, page.delete):
            assert method(url).status_code == 405, url
    for url in (chat_url(run.session), "/chats/trash/", run_url(run, "chat-events")):
        for method in (page.post, page.put, page.delete):
            assert method(url).status_code == 405, url
    run.refresh_from_db()
    assert (rows(), run.status) == (before, "failed")


@pytest.mark.parametrize("headers", [{}, JSON], ids=["page", "script"])
def test_damaged_forms_reveal_nothing_about_the_chats_of_others(
    page: Client, user: User, headers: dict[str, str]
) -> None:
    for owner, status in ((user, 400), (make_user("ben"), 404)):
        run = failed(owner)
        message = {"message_id": run.message_id}
        for url in (
            chat_url(run.session, "chat-send"),
            chat_url(run.session, "chat-version"),
            chat_url(run.session, "chat-edit", **message),
            chat_url(run.session, "chat-regenerate", **message),
            chat_url(run.session, "chat-feedback", **message),
            run_url(run, "chat-retry"),
        ):
            before = rows()
            assert page.post(url, {"agent": "?"}, headers=headers).status_code == status, url
            assert rows() == before


@pytest.mark.parametrize("scheme", ["javascript", "JavaScript", "data", "vbscript", "ftp", "file"])
def test_only_links_to_websites_and_mailboxes(page: Client, user: User, scheme: str) -> None:
    answer = f"[one]({scheme}://x) <{scheme}://x/y> ![two]({scheme}://x)\n\n[a]: {scheme}:x\n\n[a]"
    answer += "\n\n[good](https://example.org) [post](mailto:ana@example.org)"
    shown = html(page.get(chat_url(answered(user, answer=answer))))
    assert f'href="{scheme}:' not in shown
    assert 'href="https://example.org"' in shown
    assert 'href="mailto:ana@example.org"' in shown
