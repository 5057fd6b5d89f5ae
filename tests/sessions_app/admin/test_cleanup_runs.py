"""The admin pages of cleanup runs, and the button that restores sessions."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.admin import restoring
from sessions_app.cleanup.options import Options, Target
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import Page, log_in, staff

RUNS = "/admin/sessions_app/cleanuprun/"

pytestmark = pytest.mark.django_db
Status = CleanupRun.Status


@pytest.fixture
def root() -> Client:
    return log_in(User.objects.create_superuser("root", password="secret"))


def cleaned(number: int = 3, **criteria: Any) -> CleanupRun:
    """A cleanup by the command, of as many phantoms."""
    for _ in range(number):
        phantom(metadata={"a": 1})
    run = start_cleanup(
        source=CleanupRun.Source.COMMAND, started_by="me@here", matched=number, criteria=criteria
    )
    run_cleanup(run, Session.objects.all(), Target(), Options())
    return run


def url_of(run: CleanupRun) -> str:
    return f"{RUNS}{run.pk}/change/"


def restore_url(run: CleanupRun) -> str:
    return f"{RUNS}{run.pk}/restore/"


def offers_restore(page: Page) -> bool:
    return any(link.endswith("/restore/") for link in page.links)


def press_restore(page: Page) -> Page:
    return page.press(None, page.forms[-1])


# --- Viewing -----------------------------------------------------------------------


def test_the_list_costs_the_same_number_of_queries_for_1_run_and_for_100(root: Client) -> None:
    cleaned(1)
    Page.of(root, RUNS)
    with CaptureQueriesContext(connection) as one:
        Page.of(root, RUNS)
    run = CleanupRun.objects.get()
    for _ in range(99):
        run.pk = None
        run.save(force_insert=True)
    with CaptureQueriesContext(connection) as hundred:
        page = Page.of(root, RUNS)
    assert "100 cleanup runs" in page.text
    assert len(hundred) == len(one) < 8


def test_the_page_of_a_run_shows_what_it_did(root: Client) -> None:
    run = cleaned(3, limit=10)
    for url in (RUNS, url_of(run)):
        page = Page.of(root, url)
        assert "me@here" in page.text
        assert not page.problems
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert '"limit": 10' in page.text
    assert str(run.removed_sessions.first().session_id) in page.text  # type: ignore[union-attr]
    assert "3 sessions can be restored, at least until" in page.text
    assert "ursor" not in page.text


def test_a_run_that_ended_before_it_started_by_another_clock_took_no_time(root: Client) -> None:
    run = cleaned(1)
    CleanupRun.objects.update(finished_at=run.started_at - timedelta(microseconds=7))
    assert "0.00 s" in Page.of(root, url_of(run)).text
    assert CleanupRun.objects.get().duration == timedelta()


def test_runs_are_read_only(root: Client) -> None:
    run = cleaned(1)
    assert root.get(f"{RUNS}add/").status_code == 403
    assert root.get(f"{RUNS}{run.pk}/delete/").status_code == 403
    page = Page.of(root, url_of(run))
    assert "_save" not in page.html
    token = root.cookies["csrftoken"].value
    answer = root.post(url_of(run), {"csrfmiddlewaretoken": token, "status": "failed"})
    assert answer.status_code == 403
    assert "delete_selected" not in Page.of(root, RUNS).html


# --- Restoring -----------------------------------------------------------------------


def test_the_button_restores_everything(root: Client) -> None:
    phantom(user=User.objects.get(username="root"), metadata={"b": [1, 2]})
    before = list(Session.objects.order_by("pk").values())
    run = cleaned(0)
    assert not Session.objects.exists()
    page = Page.of(root, url_of(run))
    assert offers_restore(page)
    page = Page.of(root, restore_url(run))
    assert "Restore 1 session that" in page.text
    assert not page.problems
    assert not Session.objects.exists()
    page = press_restore(page)
    assert page.url == url_of(run)
    assert page.messages == ["Restored 1 session."]
    assert list(Session.objects.order_by("pk").values()) == [
        {**row, "keep": True} for row in before
    ]
    assert "No: all of its sessions have been restored." in page.text
    assert not offers_restore(page)
    entry = LogEntry.objects.get()
    assert entry.user.username == "root"
    assert entry.get_edited_object() == run
    assert "Restored 1 session." in entry.change_message


def test_ids_in_use_are_reported_and_stay_in_the_archive(root: Client) -> None:
    run = cleaned(8)
    taken = list(run.removed_sessions.order_by("session_id").values_list("session_id", flat=True))
    for pk in taken[:7]:
        make_session(id=pk)
    page = press_restore(Page.of(root, restore_url(run)))
    assert "Restored 1 session." in page.messages[0]
    assert str(taken[0]) in page.messages[0]
    assert "and 2 more" in page.messages[0]
    assert run.removed_sessions.count() == 7
    assert "7 sessions can be restored" in page.text


def test_the_page_says_why_a_run_cannot_be_restored(root: Client) -> None:
    now = timezone.now()
    ended = {"source": "admin", "started_by": "x", "status": Status.DONE, "finished_at": now}
    running = {**ended, "status": Status.RUNNING, "finished_at": None}
    reasons = {
        "still running": CleanupRun.objects.create(**running),
        "purged on": CleanupRun.objects.create(**ended, removed=3, archive_purged_at=now),
        "nothing was removed": CleanupRun.objects.create(**ended),
        "was not archived": CleanupRun.objects.create(**ended, removed=3),
    }
    for reason, run in reasons.items():
        page = Page.of(root, url_of(run))
        assert reason in page.text
        assert not offers_restore(page)
        page = Page.of(root, restore_url(run))
        assert reason in page.text
        token = root.cookies["csrftoken"].value
        page = Page.of(root, restore_url(run), {"csrfmiddlewaretoken": token})
        assert page.messages
        assert "Restored" not in page.messages[0]
    assert not LogEntry.objects.exists()


def test_a_dead_run_can_be_restored(root: Client) -> None:
    run = cleaned(2)
    long_ago = timezone.now() - timedelta(hours=1)
    CleanupRun.objects.update(status=Status.RUNNING, finished_at=None, heartbeat_at=long_ago)
    assert offers_restore(Page.of(root, url_of(run)))
    assert press_restore(Page.of(root, restore_url(run))).messages == ["Restored 2 sessions."]
    assert CleanupRun.objects.get().status == Status.INTERRUPTED


def test_a_database_error_is_shown(root: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    run = cleaned(1)
    page = Page.of(root, restore_url(run))

    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("disk is full")

    monkeypatch.setattr(restoring, "restore_slice", fail)
    assert "The database reports: disk is full" in press_restore(page).messages[0]
    assert RemovedSession.objects.count() == 1


def test_an_unknown_run(root: Client) -> None:
    for number in ("999999", "x"):
        page = Page.of(root, f"{RUNS}{number}/restore/")
        assert page.messages == ["There is no such cleanup."]


@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        (["view_cleanuprun"], 403),
        (["restore_session"], 403),
        (["view_cleanuprun", "delete_session"], 403),
        (["view_cleanuprun", "restore_session"], 200),
    ],
)
def test_who_may_restore(permissions: list[str], status: int) -> None:
    run = cleaned(1)
    client = log_in(staff("clerk", *permissions))
    if "view_cleanuprun" in permissions:
        assert offers_restore(Page.of(client, url_of(run))) is (status == 200)
    assert client.get(restore_url(run)).status_code == status
    client.get("/admin/")
    token = client.cookies["csrftoken"].value
    Page.of(client, restore_url(run), {"csrfmiddlewaretoken": token})
    assert Session.objects.exists() is (status == 200)


@pytest.mark.parametrize("permissions", [[], ["view_cleanuprun"], ["restore_session"]])
def test_users_who_may_not_restore_do_not_learn_which_runs_exist(permissions: list[str]) -> None:
    client = log_in(staff("clerk", *permissions))
    token = client.cookies["csrftoken"].value
    for number in (str(cleaned(1).pk), "999999", "x"):
        url = f"{RUNS}{number}/restore/"
        assert client.get(url).status_code == 403
        assert client.post(url, {"csrfmiddlewaretoken": token}).status_code == 403
    assert not Session.objects.exists()


def test_a_get_and_a_forged_post_restore_nothing(root: Client) -> None:
    run = cleaned(1)
    root.get(restore_url(run))
    assert root.post(restore_url(run)).status_code == 403  # no CSRF token
    assert not Session.objects.exists()


def test_the_messages_of_a_restored_session_work_again(root: Client) -> None:
    run = cleaned(1)
    press_restore(Page.of(root, restore_url(run)))
    chat_session = Session.objects.get()
    assert say(chat_session).position == 1
