"""Which sessions went, where one went, and restoring some or all over several requests."""

import re
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sessions_app.admin import restoring
from sessions_app.cleanup import archive_search
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.factories import make_session, phantom
from tests.sessions_app.admin.helpers import Page, log_in, staff
from tests.sessions_app.admin.test_cleanup_runs import RUNS, cleaned, restore_url, url_of

pytestmark = pytest.mark.django_db

ID = re.compile(r'<td class="id wide">([0-9a-f-]{36})</td>')


@pytest.fixture
def root() -> Client:
    return log_in(User.objects.create_superuser("root", password="secret"))


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_search, "PAGE_SIZE", 4)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_app.cleanup.restoring._BATCH_SIZE", 4)
    monkeypatch.setattr(restoring, "REQUEST_TIME_BUDGET", 0)


def ids_on(page: Page) -> list[str]:
    return ID.findall(page.html)


def archived_ids(run: CleanupRun) -> list[str]:
    ids = run.removed_sessions.order_by("session_id").values_list("session_id", flat=True)
    return [str(pk) for pk in ids]


def begin(root: Client, run: CleanupRun, **changes: Any) -> Page:
    """The page after the confirmation of a restore of everything."""
    page = Page.of(root, restore_url(run))
    return page.press(None, page.forms[-1], **changes)


def link(page: Page, rel: str) -> str:
    [url] = re.findall(f'<a href="([^"]+)" rel="{rel}"', page.html)
    query: str = url.replace("&amp;", "&").partition("#")[0]
    return page.url.partition("?")[0] + query


# --- Which sessions went -------------------------------------------------------------


def test_pages_both_ways(root: Client, small_pages: None) -> None:
    run = cleaned(10)
    page = Page.of(root, url_of(run))
    assert not page.problems
    assert "(10 in the archive)" in page.text
    seen = [ids_on(page)]
    for _ in range(2):
        page = Page.of(root, link(page, "next"))
        seen.append(ids_on(page))
    assert [pk for shown in seen for pk in shown] == archived_ids(run)
    assert 'rel="next"' not in page.html
    for shown in reversed(seen[:-1]):
        page = Page.of(root, link(page, "prev"))
        assert ids_on(page) == shown
    assert 'rel="prev"' not in page.html
    assert ids_on(Page.of(root, f"{url_of(run)}?after=x")) == seen[0]


def test_a_page_costs_the_same_number_of_queries_for_1_session_and_for_50(root: Client) -> None:
    one, many = cleaned(1), cleaned(50)
    RemovedSession.objects.update(user_id=User.objects.get().pk)
    Page.of(root, url_of(one))
    with CaptureQueriesContext(connection) as few:
        Page.of(root, url_of(one))
    with CaptureQueriesContext(connection) as all_:
        page = Page.of(root, url_of(many))
    assert len(ids_on(page)) == 50
    assert len(all_) == len(few)


def test_search_in_a_run(root: Client, small_pages: None) -> None:
    wanted = phantom(name="Session-\u00dcber Schiffe")
    run = cleaned(10)
    for text in (str(wanted.pk), wanted.pk.hex, str(wanted.pk)[:13], "schiffe", "Über"):
        page = Page.of(root, f"{url_of(run)}?q={text}")
        assert ids_on(page) == [str(wanted.pk)], text
    other = run.removed_sessions.exclude(session_id=wanted.pk).first()
    assert other is not None
    assert ids_on(Page.of(root, f"{url_of(run)}?q={other.name}")) == [str(other.session_id)]
    page = Page.of(root, f"{url_of(run)}?q=%25")
    assert not ids_on(page)
    assert "No session in this archive has this id or name." in page.text
    assert len(ids_on(Page.of(root, f"{url_of(run)}?q=session"))) == 4


def test_a_search_for_a_name_says_where_it_stopped_and_goes_on(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_search, "NAMES_READ", 4)
    run = cleaned(9)
    last = run.removed_sessions.order_by("session_id").last()
    assert last is not None
    RemovedSession.objects.filter(session_id=last.session_id).update(name="Session-Boats")
    page = Page.of(root, f"{url_of(run)}?q=boats")
    for _ in range(2):
        assert not ids_on(page)
        assert "4 names were searched; there are more." in page.text
        page = Page.of(root, link(page, "next"))
    assert ids_on(page) == [str(last.session_id)]


def test_users_of_sessions_are_shown_to_who_may_see_users() -> None:
    phantom(user=User.objects.create_user("ana"))
    run = cleaned(0)
    for permissions, is_shown in ((["view_user"], True), ([], False)):
        clerk = log_in(staff(f"clerk{is_shown}", "view_cleanuprun", *permissions))
        page = Page.of(clerk, url_of(run))
        assert (">ana<" in page.html) is is_shown
        assert 'name="session"' not in page.html


# --- Where a session went ------------------------------------------------------------


def test_a_session_is_found_in_all_runs_by_id_and_by_name(root: Client) -> None:
    wanted = phantom(name="Session-Boats")
    first, second = cleaned(3), cleaned(3)
    for text in (str(wanted.pk), str(wanted.pk)[:8], "boats"):
        page = Page.of(root, f"{RUNS}?q={text}")
        assert ids_on(page) == [str(wanted.pk)], text
        assert "1 cleanup run" in page.text
        assert not page.problems
        [url] = [url for url in page.links if "?q=" in url and "/change/" in url]
        assert url.startswith(url_of(first))
        assert ids_on(Page.of(root, url.partition("#")[0])) == [str(wanted.pk)]
    assert len(ids_on(Page.of(root, f"{RUNS}?q=session-"))) == 7
    for text in ("nothing", "deadbeef", "%00", "%25"):
        page = Page.of(root, f"{RUNS}?q={text}")
        assert not ids_on(page)
    assert second.pk > first.pk


def test_a_session_that_is_there_is_shown_too(root: Client) -> None:
    chat_session = make_session(name="Planning")
    page = Page.of(root, f"{RUNS}?q={chat_session.pk}")
    assert "Not removed, or restored: Planning" in page.text
    clerk = log_in(staff("clerk", "view_cleanuprun"))
    assert "Planning" not in Page.of(clerk, f"{RUNS}?q={chat_session.pk}").text


def test_a_search_for_a_name_in_all_runs_reads_the_newest_rows(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = phantom(name="Session-Boats", id=UUID(int=2**128 - 1))
    cleaned(4)
    cleaned(3)
    monkeypatch.setattr(archive_search, "NAMES_READ", 5)
    page = Page.of(root, f"{RUNS}?q=boats")
    assert not ids_on(page)
    assert "Names were searched only in the 5 most recently removed sessions" in page.text
    assert ids_on(Page.of(root, f"{RUNS}?q={wanted.pk}")) == [str(wanted.pk)]
    monkeypatch.setattr(archive_search, "NAMES_READ", 8)
    page = Page.of(root, f"{RUNS}?q=boats")
    assert ids_on(page) == [str(wanted.pk)]
    assert "Names were searched only" not in page.text


def test_the_search_takes_the_same_number_of_queries_for_1_run_and_for_20(root: Client) -> None:
    cleaned(1)
    Page.of(root, f"{RUNS}?q=session")
    with CaptureQueriesContext(connection) as one:
        Page.of(root, f"{RUNS}?q=session")
    for _ in range(19):
        cleaned(1)
    with CaptureQueriesContext(connection) as twenty:
        page = Page.of(root, f"{RUNS}?q=session")
    assert len(ids_on(page)) == 20
    assert len(twenty) == len(one)


# --- Restoring some ------------------------------------------------------------------


def test_ticked_sessions_are_restored(root: Client) -> None:
    run = cleaned(5)
    chosen = archived_ids(run)[1:3]
    page = Page.of(root, url_of(run)).press("ticked", session=chosen)
    assert page.url == url_of(run)
    assert page.messages == ["Restored 2 sessions."]
    restored = Session.objects.order_by("pk")
    assert [(str(row.pk), row.keep) for row in restored] == [(pk, True) for pk in chosen]
    run.refresh_from_db()
    assert (run.restored, run.archived) == (2, 3)
    assert "Restored 2 sessions." in LogEntry.objects.get().change_message


def test_ticks_that_restore_nothing_say_why(root: Client) -> None:
    run = cleaned(2)
    page = Page.of(root, url_of(run))
    assert page.press("ticked").messages == ["Nothing was restored: no session was selected."]
    assert page.press("ticked", session=["x"]).messages == [
        "Nothing was restored: the form is not valid."
    ]
    many = [str(UUID(int=number)) for number in range(archive_search.PAGE_SIZE + 1)]
    assert "select at most 50 sessions" in page.press("ticked", session=many).messages[0]
    chosen = archived_ids(run)
    make_session(id=chosen[1])
    page = page.press("ticked", session=chosen)
    assert "Restored 1 session." in page.messages[0]
    assert f"their ids are in use again: {chosen[1]}." in page.messages[0]
    page = page.press("ticked", session=chosen[:1])
    assert page.messages == ["Restored 0 sessions. 1 session had already been restored."]
    assert LogEntry.objects.count() == 1


# --- Restoring all, over several requests --------------------------------------------


def test_a_large_restore_goes_on_over_several_requests(root: Client, small_slices: None) -> None:
    run = cleaned(10)
    ids = archived_ids(run)
    make_session(id=ids[5], name="Somebody's")
    page = begin(root, run)
    assert "Restored 4 of 10 sessions so far." in page.text
    assert not page.problems
    page = page.press("confirm")
    assert "Restored 7 of 10 sessions so far." in page.text
    again = page.press("confirm")
    assert "Restored 9 of 10 sessions so far." in again.text
    assert page.press("confirm").status == 200  # sent twice: nothing is restored twice
    page = again.press("confirm")
    assert page.url == url_of(run)
    [text] = page.messages
    assert text == (
        f"Restored 9 sessions. Left in the archive because their ids are in use again: {ids[5]}."
    )
    assert Session.objects.filter(keep=True).count() == 9
    texts = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert "Started restoring 10 sessions." in texts[0]
    assert "Restored 9 sessions." in texts[1]


def test_a_restore_can_be_stopped_and_taken_up_again(root: Client, small_slices: None) -> None:
    run = cleaned(10)
    page = begin(root, run).press("stop")
    assert page.messages == ["Stopped. Restored 4 of 10 sessions."]
    assert "6 sessions can be restored" in page.text
    page = begin(root, run)
    assert "Restored 4 of 6 sessions so far." in page.text
    assert page.press("confirm").press("confirm").messages == ["Restored 6 sessions."]
    assert Session.objects.count() == 10


@pytest.mark.parametrize("field", ["after", "total", "restored_before"])
def test_a_form_that_was_tampered_with_restores_nothing(root: Client, field: str) -> None:
    run = cleaned(1)
    page = begin(root, run, **{field: "x"})
    assert page.messages == ["The form is not valid."]
    assert not Session.objects.exists()


def test_an_archive_that_is_purged_between_two_requests(
    root: Client, small_slices: None, settings: Any
) -> None:
    run = cleaned(10)
    page = begin(root, run)
    RemovedSession.objects.all().delete()
    run.mark_purged()
    assert "was purged on" in page.press("confirm").messages[0]
    assert Session.objects.count() == 4
