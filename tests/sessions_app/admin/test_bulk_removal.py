"""The bulk removal: confirmation, progress over several requests, outcome, permissions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client, RequestFactory
from django.utils import timezone

from sessions_app.admin import bulk_removal
from sessions_app.cleanup import run as cleanup
from sessions_app.cleanup.options import Options
from sessions_app.cleanup.run_querysets import CleanupRunQuerySet
from sessions_app.models import CleanupRun, RemovedSession, Session
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import ACTION, LIST, Page, choose, log_in, staff

pytestmark = pytest.mark.django_db
Status = CleanupRun.Status


@pytest.fixture
def root() -> Client:
    return log_in(User.objects.create_superuser("root", password="secret"))


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request removes one batch of two sessions."""
    monkeypatch.setattr(bulk_removal, "REQUEST_TIME_BUDGET", 0.0)
    monkeypatch.setattr(cleanup, "Options", partial(Options, batch_size=2))


def phantoms(number: int) -> list[Session]:
    return [phantom() for _ in range(number)]


def only_run() -> CleanupRun:
    return CleanupRun.objects.get()


def progress_of(page: Page) -> Iterator[Page]:
    """The progress pages, and at the end the page with the outcome."""
    page = page.press("confirm")
    while "Removed" in page.text and any("stop" in dict(form.buttons) for form in page.forms):
        yield page
        page = page.press("confirm")
    yield page


def progress_of_post(page: Page, selected: list[str]) -> Iterator[Page]:
    """Like `progress_of`, with these rows selected."""
    while any("stop" in dict(form.buttons) for form in page.forms):
        page = page.press("confirm", _selected_action=selected)
        yield page


# --- Confirmation ------------------------------------------------------------------


def test_confirmation_shows_what_is_removed_and_what_is_kept_and_why(root: Client) -> None:
    empty = phantoms(3)
    others = [
        say(phantom()).session,
        phantom(name="Mine"),
        phantom(name="Ours"),
        phantom(platform="web"),
    ]
    phantom()
    page = choose(root, *empty, *others)
    assert "3 of the 7 selected sessions will be removed" in page.text
    assert "4 will be kept:" in page.text
    for reason in (
        "2 named by a person",
        "1 on another platform",
        "1 with messages, or referred to by other records",
    ):
        assert reason in page.text
    assert "outside the time window" not in page.text
    for chat_session in empty:
        assert chat_session.name in page.text
    assert "This can be undone until" in page.text
    assert not page.problems
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert Session.objects.count() == 8
    assert not CleanupRun.objects.exists()


def test_confirmation_warns_when_there_is_no_undo(root: Client, settings: Any) -> None:
    settings.CLEANUP_ARCHIVE_DAYS = 0
    page = choose(root, *phantoms(1))
    assert "This cannot be undone" in page.text
    page = page.press("confirm")
    assert page.messages == [f"Removed 1 session. Cleanup {only_run().pk}"]
    assert not RemovedSession.objects.exists()


def test_there_is_no_button_when_nothing_is_removable(root: Client) -> None:
    page = choose(root, make_session())
    assert "The selected session cannot be removed." in page.text
    assert not any("confirm" in dict(form.buttons) for form in page.forms)


# --- Removing ------------------------------------------------------------------------


def test_selected_sessions_are_removed_at_once(root: Client) -> None:
    empty, others = phantoms(3), [*phantoms(1), make_session()]
    page = choose(root, *empty, others[1]).press("confirm")
    assert page.url == LIST
    run = only_run()
    assert page.messages == [f"Removed 3 sessions. Cleanup {run.pk}"]
    assert f"/admin/sessions_app/cleanuprun/{run.pk}/change/" in page.links
    assert set(Session.objects.all()) == set(others)
    assert (run.status, run.source, run.matched, run.removed) == (Status.DONE, "admin", 3, 3)
    assert (run.criteria["selected"], set(run.criteria)) == (4, {"selected", "ids_sha256"})
    assert run.started_by == "root"
    assert run.user == User.objects.get(username="root")
    assert run.archived == 3


def test_a_run_is_logged_with_who_started_it(root: Client) -> None:
    choose(root, *phantoms(2)).press("confirm")
    entry = LogEntry.objects.get()
    assert entry.user.username == "root"
    assert entry.get_edited_object() == only_run()
    assert "2 sessions" in entry.change_message


@pytest.mark.parametrize(
    ("query", "removed"),
    [
        ("", 60),
        ("?removable=yes", 60),
        ("?removable=yes&p=2", 60),
        ("?platform=automagik&o=1.-6", 60),
        ("?user=ana", 5),
        ("?q=ana", 5),
        ("?q=ana%40example.org&removable=yes", 5),
        ("?created_at__gte=2020-01-01+00%3A00%3A00%2B00%3A00", 60),
    ],
)
def test_all_across_pages(root: Client, query: str, removed: int) -> None:
    ana = User.objects.create_user("ana", email="ana@example.org")
    phantoms(55)
    mine = [phantom(user=ana) for _ in range(5)]
    others = [make_session(), make_session(user=ana), say(phantom(user=ana)).session]
    page = choose(root, *mine[:1], url=f"{LIST}{query}", across=True).press("confirm")
    assert page.messages[0].startswith(f"Removed {removed} sessions.")
    assert Session.objects.count() == 63 - removed
    assert Session.objects.filter(pk__in=[kept.pk for kept in others]).count() == 3
    assert set(only_run().criteria) == {"list"}
    assert "p=" not in only_run().criteria["list"]


@pytest.mark.parametrize(
    "query",
    [
        *("", "?removable=yes", "?removable=no", "?user=ana", "?platform=automagik&q=session"),
        *(
            "?q=ana",
            "?q=ab",
            "?q=session-1&removable=yes",
            "?o=1&created_at__gte=2026-01-02+00%3A00%3A00%2B00%3A00",
        ),
    ],
)
def test_what_is_removed_is_what_is_listed_and_removable(root: Client, query: str) -> None:
    ana = User.objects.create_user("ana", email="ab@example.org")
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(16):
        chat_session = phantom(
            name=f"Session-{n}" if n % 2 else f"Chat {n}",
            user=ana if n % 3 else None,
            platform="web" if n % 5 == 4 else "automagik",
            created_at=start + timedelta(days=n % 4),
        )
        if n % 7 == 5:
            say(chat_session)
    request = RequestFactory().get(LIST + query)
    request.user = User.objects.get(username="root")
    listed = admin.site.get_model_admin(Session).get_changelist_instance(request).queryset
    removable = set(Session.objects.removable().values_list("pk", flat=True))
    expected = removable & set(listed.values_list("pk", flat=True))
    assert expected or query == "?removable=no"
    before = set(Session.objects.values_list("pk", flat=True))
    page = choose(root, Session.objects.all()[0], url=f"{LIST}{query}", across=True)
    total = listed.count()
    part = f"{len(expected) or 'None'} of the {total} selected"
    assert (f"All {total} selected" if len(expected) == total else part) in page.text
    if expected:
        page.press("confirm")
    assert before - set(Session.objects.values_list("pk", flat=True)) == expected


# --- Over several requests -----------------------------------------------------------


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("query", ["", "?removable=yes", "?q=session"])
def test_a_large_removal_continues_over_several_requests(root: Client, query: str) -> None:
    empty, kept = phantoms(7), make_session()
    page = choose(root, *empty[:1], url=f"{LIST}{query}", across=True)
    *progress, page = progress_of(page)
    assert [
        f"Removed {count} of 7 sessions so far" in shown.text
        for count, shown in zip((2, 4, 6, 7), progress, strict=True)
    ] == [True] * 4
    for shown in progress:
        assert "<progress" in shown.html
        assert not shown.problems
    assert page.messages == [f"Removed 7 sessions. Cleanup {only_run().pk}"]
    assert list(Session.objects.all()) == [kept]
    run = only_run()
    assert (run.status, run.matched, run.removed, run.archived) == (Status.DONE, 7, 7, 7)
    assert LogEntry.objects.count() == 1


@pytest.mark.usefixtures("slices")
def test_stop_ends_it_where_it_is(root: Client) -> None:
    page = choose(root, *phantoms(7), across=True).press("confirm")
    page = page.press("stop")
    run = only_run()
    assert page.messages == [f"Stopped. Removed 2 of 7 sessions. Cleanup {run.pk}"]
    assert (run.status, run.removed) == (Status.PARTIAL, 2)
    assert Session.objects.count() == 5


@pytest.mark.usefixtures("slices")
def test_a_request_under_way_does_not_revive_a_stopped_run(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = choose(root, *phantoms(7), across=True).press("confirm")

    def slowly(run: CleanupRun, *args: Any, **kwargs: Any) -> None:
        page.press("stop")
        cleanup.continue_cleanup(run, *args, **kwargs)

    monkeypatch.setattr(bulk_removal, "continue_cleanup", slowly)
    page.press("confirm")
    assert only_run().status == Status.PARTIAL
    assert Session.objects.count() == 3


@pytest.mark.usefixtures("slices")
def test_an_interrupted_run_is_continued(root: Client) -> None:
    page = choose(root, *phantoms(5), across=True).press("confirm")
    long_ago = timezone.now() - 2 * CleanupRunQuerySet.ADMIN_HEARTBEAT_TIMEOUT
    CleanupRun.objects.update(heartbeat_at=long_ago)
    CleanupRun.objects.mark_presumed_dead()
    assert only_run().status == Status.INTERRUPTED
    *_, page = progress_of(page)
    assert page.messages == [f"Removed 5 sessions. Cleanup {only_run().pk}"]
    assert only_run().status == Status.DONE
    assert only_run().error == ""


@pytest.mark.usefixtures("slices")
def test_only_the_users_own_unfinished_run_of_this_selection_is_continued(root: Client) -> None:
    page = choose(root, *phantoms(6), across=True).press("confirm")
    mine = only_run()
    common = {"source": "admin", "started_by": "x", "criteria": mine.criteria}
    now = timezone.now()
    refused = {
        CleanupRun.objects.create(**common): "is not yours",
        CleanupRun.objects.create(**{**common, "source": "command"}, user=mine.user): "not yours",
        CleanupRun.objects.create(
            **common, user=mine.user, status=Status.DONE, finished_at=now
        ): "already ended (done)",
        CleanupRun.objects.create(
            **{**common, "criteria": {"selected": 3}}, user=mine.user
        ): "another selection",
    }
    for run, reason in refused.items():
        answer = page.press("confirm", run=str(run.pk))
        assert reason in answer.messages[0]
        assert answer.messages[0].startswith("Nothing was removed.")
    for nonsense in ("999999", "-1", "x"):
        assert "Nothing was removed" in page.press("confirm", run=nonsense).messages[0]
    assert Session.objects.count() == 4
    assert page.press("stop", run=str(next(iter(refused)).pk)).messages[0].startswith("Nothing")


@pytest.mark.usefixtures("slices")
def test_a_run_continues_with_exactly_the_rows_that_were_selected(root: Client) -> None:
    selected, others = phantoms(4), phantoms(4)
    page = choose(root, *selected).press("confirm")
    assert "Removed 2 of 4 sessions so far" in page.text
    as_many = [str(row.pk) for row in others]
    refused = page.press("confirm", _selected_action=as_many)
    assert "was started for another selection" in refused.messages[0]
    assert Session.objects.count() == 6
    again = [str(row.pk) for row in reversed(selected)]
    *_, page = progress_of_post(page, again)
    assert page.messages == [f"Removed 4 sessions. Cleanup {only_run().pk}"]
    assert set(Session.objects.all()) == set(others)


@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("across", [True, False])
def test_a_run_is_not_continued_with_other_filters(root: Client, across: bool) -> None:
    empty = phantoms(4)
    page = choose(root, *empty, url=f"{LIST}?platform=automagik", across=across).press("confirm")
    form = next(form for form in page.forms if "stop" in dict(form.buttons))
    form.action = f"{LIST}?removable=yes"
    answer = page.press("confirm", form)
    assert "was started for another selection" in answer.messages[0]
    assert Session.objects.count() == 2


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="counts SQLite's own steps")
@pytest.mark.usefixtures("slices")
@pytest.mark.parametrize("query", ["", "?removable=yes", "?q=session", "?user=ana"])
def test_a_batch_costs_the_same_however_many_were_selected(root: Client, query: str) -> None:
    ana = User.objects.create_user("ana")

    def steps_of_a_batch(selected: int) -> int:
        Session.objects.bulk_create(
            Session(name=f"Session-{number}", platform="automagik", user=ana)
            for number in range(selected)
        )
        one = Session.objects.all()[0]
        page = choose(root, one, url=f"{LIST}{query}", across=True).press("confirm")
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
            in_batch = (
                sql.startswith("DELETE")
                or "removed_sessions" in sql
                or sql.endswith('ORDER BY "sessions"."id" LIMIT %s')
            )
            connection.connection.set_progress_handler(count if in_batch else None, 1)
            try:
                return execute(sql, params, many, context)
            finally:
                connection.connection.set_progress_handler(None, 1)

        with connection.execute_wrapper(wrapper):
            page = page.press("confirm")
        assert "Removed 4 of" in page.text
        page.press("stop")
        Session.objects.all().delete()
        return steps

    few, many = steps_of_a_batch(20), steps_of_a_batch(400)
    assert 0 < many < 1.5 * few


@pytest.mark.usefixtures("slices")
def test_a_run_that_has_ended_is_not_continued(root: Client) -> None:
    page = choose(root, *phantoms(3), across=True).press("confirm")
    page.press("stop")
    answer = page.press("confirm")
    assert "already ended (stopped early)" in answer.messages[0]
    assert Session.objects.count() == 1


# --- Changes between requests ------------------------------------------------------


def test_a_session_with_a_first_message_before_the_confirmation_is_kept(
    root: Client,
) -> None:
    empty, used = phantoms(2), phantom()
    page = choose(root, *empty, used)
    assert "All 3 selected sessions will be removed" in page.text
    message = say(used)
    page = page.press("confirm")
    run = only_run()
    assert page.messages == [
        f"Removed 2 of 3 sessions; 1 was in use or already gone. Cleanup {run.pk}"
    ]
    assert list(Session.objects.all()) == [used]
    assert list(used.messages.all()) == [message]
    assert (run.status, run.matched, run.removed) == (Status.DONE, 3, 2)


@pytest.mark.usefixtures("slices")
def test_a_session_that_is_renamed_between_two_requests_is_kept(root: Client) -> None:
    phantoms(6)
    page = choose(root, *Session.objects.all()[:1], across=True).press("confirm")
    renamed = Session.objects.order_by("-pk")[0]
    Session.objects.filter(pk=renamed.pk).update(name="Mine")
    *_, page = progress_of(page)
    assert page.messages[0].startswith("Removed 5 of 6 sessions; 1 was in use")
    assert list(Session.objects.all()) == [renamed]


@pytest.mark.usefixtures("slices")
def test_a_database_error_is_shown_recorded_and_logged(
    root: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    page = choose(root, *phantoms(5), across=True).press("confirm")

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("disk is full\nsecond line")

    with monkeypatch.context() as broken:
        broken.setattr(CleanupRun, "add_removed", fail)
        page = page.press("confirm")
    assert page.url == LIST
    run = only_run()
    assert page.messages == [
        "A database error ended the cleanup (disk is full). Removed 2 of 5 sessions. "
        f"Cleanup {run.pk}"
    ]
    assert (run.status, run.error, run.removed) == (Status.FAILED, "disk is full", 2)
    assert f"Cleanup {run.pk} failed: disk is full" in caplog.messages


def test_a_database_error_before_the_start_is_shown(
    root: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = choose(root, *phantoms(1))

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(bulk_removal, "start_cleanup", fail)
    page = page.press("confirm")
    assert page.messages == [
        "Nothing was removed. The database reports: the server closed the connection"
    ]
    assert Session.objects.count() == 1


# --- Permissions -------------------------------------------------------------------


def test_a_reviewer_neither_sees_nor_may_post_it(root: Client) -> None:
    empty = phantoms(2)
    confirmation = choose(root, *empty)
    reviewer = log_in(staff("reviewer", "view_session", "read_transcripts", "change_session"))
    page = Page.of(reviewer, LIST)
    assert ACTION not in page.html
    token = reviewer.cookies["csrftoken"].value
    form = next(form for form in confirmation.forms if "confirm" in dict(form.buttons))
    data = {**dict(form.fields), "csrfmiddlewaretoken": token}
    assert reviewer.post(LIST, data).status_code == 403
    assert reviewer.post(LIST, {**data, "confirm": "yes"}).status_code == 403
    assert reviewer.post(LIST, {**data, "confirm": "yes", "index": "0"}).status_code == 403
    assert Session.objects.count() == 2
    assert not CleanupRun.objects.exists()


def test_the_permission_to_delete_sessions_suffices() -> None:
    clerk = log_in(staff("clerk", "view_session", "delete_session"))
    page = choose(clerk, *phantoms(1)).press("confirm")
    assert page.messages == [f"Removed 1 session. (Cleanup {only_run().pk})"]
    assert not Session.objects.exists()


def test_a_get_removes_nothing_and_neither_does_a_forged_post(root: Client) -> None:
    chat_session = phantom()
    data = {"action": ACTION, "_selected_action": str(chat_session.pk), "confirm": "yes"}
    root.get(LIST, data)
    assert root.post(LIST, data).status_code == 403  # no CSRF token
    assert Client().post(LIST, data).status_code == 302  # to the login page
    assert Session.objects.count() == 1


def test_a_broken_form_removes_nothing(root: Client) -> None:
    page = choose(root, *phantoms(1))
    page = page.press("confirm", matched="many")
    assert page.messages[0].startswith("Nothing was removed.")
    assert Session.objects.count() == 1
