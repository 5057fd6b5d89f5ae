"""manage.py cleanup_sessions, through its own arguments."""

import json
import os
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from sessions_app.models import CleanupRun, Message, RemovedSession, Session
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db


def cleanup(*arguments: str, **options: Any) -> str:
    output = StringIO()
    call_command("cleanup_sessions", *arguments, stdout=output, **options)
    return output.getvalue()


def cleanup_json(*arguments: str) -> dict[str, Any]:
    outcome: dict[str, Any] = json.loads(cleanup("--json", *arguments))
    return outcome


def a_bit_of_everything() -> list[Session]:
    """Three removable sessions, and three others, which are returned."""
    for _ in range(3):
        phantom()
    others = [phantom(), make_session(name="Session-mine", platform="web"), make_session()]
    say(others[0])
    say(others[2])
    return others


def test_removes_what_is_removable_and_nothing_else() -> None:
    others = a_bit_of_everything()
    output = cleanup()
    assert set(Session.objects.all()) == set(others)
    assert Message.objects.count() == 2
    run = CleanupRun.objects.get()
    assert (run.status, run.matched, run.removed) == (CleanupRun.Status.DONE, 3, 3)
    assert f"Cleanup {run.pk} done: removed 3 of 3 sessions" in output
    assert f"python manage.py restore_sessions {run.pk}" in output
    assert cleanup_json()["removed"] == 0


def test_dry_run_shows_what_would_be_removed_and_kept_and_changes_nothing() -> None:
    others = a_bit_of_everything()
    output = cleanup("--dry-run")
    words = [line.split(None, 1) for line in output.splitlines()]
    assert ["3", "removable: auto-named, on automagik, and empty"] in words
    assert ["1", "kept: named by a person"] in words
    assert ["1", "kept: on another platform"] in words
    assert ["0", "kept: marked keep"] in words
    assert ["0", "kept: outside the time window"] in words
    assert ["1", "kept: with messages, or referred to by other records"] in words
    for chat_session in Session.objects.removable():
        assert str(chat_session.pk) in output
    assert not any(str(chat_session.pk) in output for chat_session in others)
    assert "nothing was changed" in output
    assert Session.objects.count() == 6
    assert not CleanupRun.objects.exists()


def test_exit_code_tells_a_program_whether_there_is_something_to_remove() -> None:
    phantom()
    for as_json in (True, False):
        with pytest.raises(SystemExit) as exit_status:
            call_command("cleanup_sessions", dry_run=True, exit_code=True, json=as_json)
        assert exit_status.value.code == 3
    assert Session.objects.exists()
    Session.objects.all().delete()
    call_command("cleanup_sessions", dry_run=True, exit_code=True)
    with pytest.raises(CommandError) as refused:
        call_command("cleanup_sessions", exit_code=True)
    assert refused.value.returncode == 2


def test_json() -> None:
    a_bit_of_everything()
    kept = {
        "named_by_person": 1,
        "other_platform": 1,
        "marked_keep": 0,
        "outside_window": 0,
        "has_messages": 1,
    }
    before = cleanup_json("--dry-run")
    assert before.pop("seconds") >= 0
    assert before == {
        "run": None,
        "dry_run": True,
        "status": "done",
        "matched": 3,
        "removed": 0,
        "kept": kept,
    }
    after = cleanup_json()
    assert after.pop("seconds") >= 0
    assert after == {
        "run": CleanupRun.objects.get().pk,
        "dry_run": False,
        "status": "done",
        "matched": 3,
        "removed": 3,
        "kept": kept,
    }


def test_json_from_code() -> None:
    phantom()
    assert json.loads(cleanup(json=True))["removed"] == 1


def test_names_in_the_sample_cannot_control_the_terminal() -> None:
    phantom(name="Session-\x1b[2J[red]\r\nx")
    output = cleanup("--dry-run")
    assert "\x1b" not in output
    assert r"Session-\x1b[2J[red]\r\nx" in output


@pytest.mark.parametrize(
    ("arguments", "removed_ages"),
    [
        ((), [1, 10, 40]),
        (("--days", "30"), [1, 10]),
        (("--days", "2"), [1]),
        (("--older-than", "5d"), [10, 40]),
        (("--older-than", "2w"), [40]),
        (("--older-than", "25h"), [10, 40]),
        (("--days", "30", "--older-than", "5d"), [10]),
    ],
)
def test_time_window(arguments: tuple[str, ...], removed_ages: list[int]) -> None:
    now = timezone.now()
    ages = {phantom(created_at=now - timedelta(days=days)).pk: days for days in (1, 10, 40)}
    dry_run = cleanup_json("--dry-run", *arguments)
    outcome = cleanup_json(*arguments)
    assert dry_run["matched"] == outcome["matched"] == outcome["removed"] == len(removed_ages)
    assert dry_run["kept"]["outside_window"] == 3 - len(removed_ages)
    removed = RemovedSession.objects.values_list("session_id", flat=True)
    assert sorted(ages[key] for key in removed) == removed_ages


def test_absolute_times() -> None:
    for day in (1, 2, 3):
        phantom(created_at=datetime(2026, 3, day, 12, tzinfo=UTC))
    window = ("--created-after", "2026-03-02", "--created-before", "2026-03-03T12:00+00:00")
    assert cleanup_json(*window)["removed"] == 1
    assert cleanup_json("--created-before", "2026-03-02")["removed"] == 1
    assert CleanupRun.objects.order_by("pk")[0].criteria == {
        "created_after": "2026-03-02T00:00:00+00:00",
        "created_before": "2026-03-03T12:00:00+00:00",
        "batch_size": 1000,
        "workers": 1,
    }


def test_options_given_from_code() -> None:
    phantom(created_at=timezone.now() - timedelta(days=40))
    phantom()
    cleanup(days=3)
    cleanup(older_than="30d", created_after="2020-01-01")
    assert not Session.objects.exists()


def test_limit() -> None:
    for _ in range(5):
        phantom()
    assert cleanup_json("--dry-run", "--limit", "2")["matched"] == 2
    outcome = cleanup_json("--limit", "2", "--batch-size", "1", "--workers", "2")
    assert (outcome["status"], outcome["matched"], outcome["removed"]) == ("done", 2, 2)
    assert Session.objects.count() == 3
    assert "1  removable as well, but above the limit" in cleanup("--dry-run", "--limit", "2")


def test_time_limit() -> None:
    for _ in range(5):
        phantom()
    outcome = cleanup_json("--max-seconds", "1e-9", "--batch-size", "2")
    assert (outcome["status"], outcome["removed"]) == ("partial", 2)
    assert CleanupRun.objects.get().status == CleanupRun.Status.PARTIAL
    assert cleanup_json("--max-seconds", "3600")["removed"] == 3


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
def test_any_batch_size_removes_the_same(size: int) -> None:
    others = a_bit_of_everything()
    assert cleanup_json("--batch-size", str(size))["removed"] == 3
    assert set(Session.objects.all()) == set(others)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--batch-size", "0"], "argument --batch-size: 0 is less than 1"),
        (["--batch-size", "many"], "argument --batch-size: 'many' is not a whole number"),
        (["--batch-size", "10001"], "The batch size must be between 1 and 10000"),
        (["--workers", "17"], "The number of workers must be between 1 and 16"),
        (["--days", "-1"], "argument --days: -1 is less than 1"),
        (["--days", "9999999"], "argument --days: that is before the calendar's first day"),
        (["--older-than", "soon"], "argument --older-than: 'soon' is not an age"),
        (["--older-than", "5"], "argument --older-than: '5' is not an age"),
        (["--older-than", "99999999999999999999w"], "before the calendar's first day"),
        (["--limit", "0"], "argument --limit: 0 is less than 1"),
        (["--max-seconds", "0"], "argument --max-seconds: 0 is not more than 0"),
        (["--max-seconds", "nan"], "argument --max-seconds: nan is not more than 0"),
        (["--created-after", "2026-02-30"], "'2026-02-30' is not a time"),
        (["--created-after", "yesterday"], "'yesterday' is not a time"),
        (
            ["--created-after", "2026-05-01", "--created-before", "2026-01-01"],
            "the time window ends before it starts",
        ),
        (["--days", "3", "--older-than", "3d"], "the time window ends before it starts"),
        (["--days", "3", "--created-after", "2026-01-01"], "not allowed with argument --days"),
    ],
)
def test_bad_usage(manage: Any, arguments: list[str], complaint: str) -> None:
    phantom()
    process = manage("cleanup_sessions", *arguments)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert output == ""
    assert complaint in errors
    assert errors.count("\n") == 1
    assert Session.objects.count() == 1
    assert not CleanupRun.objects.exists()


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"limit": 0}, {"days": -1}, {"workers": 0}, {"max_seconds": 0}]
)
def test_bad_options_given_from_code(options: dict[str, int]) -> None:
    phantom()
    with pytest.raises(CommandError) as failure:
        cleanup(**options)
    assert failure.value.returncode == 2
    assert Session.objects.count() == 1


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://nobody@127.0.0.1:1/nothing", "The database cannot be reached"),
        ("sqlite:////no/such/folder/db.sqlite3", "The database cannot be opened"),
        ("sqlite://:memory:", "The database is not migrated"),
    ],
)
@pytest.mark.parametrize("command", [["cleanup_sessions"], ["restore_sessions", "1"]])
def test_database_that_is_unavailable(
    manage: Any, command: list[str], url: str, complaint: str
) -> None:
    process = manage(*command, DATABASE_URL=url)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint in errors
    assert errors.count("\n") == 1
    assert output == ""


def test_others_get_the_processor_first(manage: Any) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    process = manage("cleanup_sessions")
    seen = set()
    while process.poll() is None:
        seen.add(os.getpriority(os.PRIO_PROCESS, process.pid))
    assert process.returncode == 0
    assert max(seen) == min(own + 10, 19)
    cleanup()  # called from code, it changes nothing for its process
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


def test_json_when_the_database_is_unavailable(manage: Any) -> None:
    process = manage(
        "cleanup_sessions", "--json", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing"
    )
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(output)["status"] == "failed"
    assert errors.count("\n") == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="a full disk is SQLite's to simulate")
def test_full_disk_undoes_the_batch() -> None:
    for _ in range(600):
        phantom(metadata={"filler": "x" * 200})
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # no free pages of other tests
        cursor.execute("PRAGMA page_count")
        pages = cursor.fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 2}")
        try:
            with pytest.raises(CommandError, match="has run out of disk space") as failure:
                cleanup()
        finally:
            cursor.execute("PRAGMA max_page_count = 1073741823")
    assert failure.value.returncode == 1
    run = CleanupRun.objects.get()
    assert (run.removed, run.removed_sessions.count()) == (0, 0)
    assert Session.objects.removable().count() == 600
    assert cleanup_json()["removed"] == 600


def test_what_each_query_is_for(django_assert_num_queries: Any) -> None:
    for _ in range(6):
        phantom()
    batch = 2 if connection.vendor == "sqlite" else 1  # an archive of its own, before removing
    settings = 0 if connection.vendor == "sqlite" else 2  # SET LOCAL, SET CONSTRAINTS
    savepoints = 2  # within this test's own transaction
    planning = 0 if connection.vendor == "sqlite" else savepoints + 1  # SET LOCAL, for one count
    one_batch = savepoints + settings + 1 + batch + 1  # lock, (archive and) remove, count
    last_batch = savepoints + (1 if connection.vendor == "sqlite" else 2)  # finds nothing to lock
    with django_assert_num_queries(
        2  # counting
        + planning
        + 2  # runs presumed dead, expired archives
        + 2  # the run; reading it back, with the database's time
        + 2 * one_batch
        + last_batch
        + 2  # its end; reading it back
        + 1  # reading it for the outcome
    ):
        cleanup("--batch-size", "3")


def test_who_and_how_is_recorded() -> None:
    User.objects.create_user("ana")
    phantom()
    cleanup("--limit", "7")
    run = CleanupRun.objects.get()
    assert run.source == CleanupRun.Source.COMMAND
    assert run.user is None
    assert "@" in run.started_by
    assert run.criteria["limit"] == 7
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
