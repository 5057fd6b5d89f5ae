"""What is removable, and why the rest is kept."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.models import Session
from sessions_app.querysets import KeptCounts, Window
from tests.factories import make_session, phantom, say

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("name", "platform", "removable"),
    [
        ("Session-1f0c", "automagik", True),
        ("Session-", "automagik", True),
        ("Session-notes for Ana", "automagik", True),
        ("Session-1f0c", "web", False),
        ("Session-1f0c", "", False),
        ("Session-1f0c", "Automagik", False),
        ("session-1f0c", "automagik", False),
        ("SESSION-1f0c", "automagik", False),
        ("Session 1f0c", "automagik", False),
        ("My Session-1f0c", "automagik", False),
        (" Session-1f0c", "automagik", False),
        ("Session", "automagik", False),
        ("", "automagik", False),
    ],
)
def test_name_and_platform_decide(name: str, platform: str, removable: bool) -> None:
    make_session(name=name, platform=platform)
    assert Session.objects.removable().exists() is removable


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_any_message_keeps_a_session(role: str) -> None:
    say(phantom(), role=role)
    empty = phantom()
    assert list(Session.objects.removable()) == [empty]


def test_renaming_keeps_a_session() -> None:
    chat_session = phantom()
    Session.objects.filter(pk=chat_session.pk).update(name="Mine")
    assert not Session.objects.removable().exists()


@pytest.fixture
def later_model(transactional_db: None) -> Iterator[type[models.Model]]:
    """A model that is added later, with its table, and without a reverse name on Session."""

    class Note(models.Model):
        about = models.OneToOneField(Session, on_delete=models.CASCADE, related_name="+")

        class Meta:
            app_label = "sessions_app"

        def __str__(self) -> str:
            return "note"

    with connection.schema_editor() as editor:
        editor.create_model(Note)
    yield Note
    with connection.schema_editor() as editor:
        editor.delete_model(Note)
    from django.apps import apps

    del apps.all_models["sessions_app"]["note"]
    apps.clear_cache()
    Session._meta._expire_cache()  # type: ignore[attr-defined]


@pytest.mark.django_db(transaction=True)
def test_rows_of_a_model_added_later_keep_a_session(later_model: type[models.Model]) -> None:
    noted, empty = phantom(), phantom()
    later_model._base_manager.create(about=noted)
    assert list(Session.objects.removable()) == [empty]


def test_window() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    early, at_noon, late = (
        phantom(created_at=noon + timedelta(hours=hours)) for hours in (-1, 0, 1)
    )
    removable = Session.objects.removable
    assert set(removable(Window(created_after=noon))) == {at_noon, late}
    assert set(removable(Window(created_before=noon))) == {early}
    assert set(removable(Window(noon, noon + timedelta(minutes=1)))) == {at_noon}
    assert removable().count() == 3


def test_window_that_ends_before_it_starts() -> None:
    now = timezone.now()
    with pytest.raises(ValueError, match="ends before it starts"):
        Window(created_after=now, created_before=now)


def test_removal_plan_gives_each_session_one_reason() -> None:
    now = timezone.now()
    old = now - timedelta(days=40)
    phantom()
    phantom()
    say(phantom())
    phantom(created_at=old)
    say(phantom(created_at=old))
    phantom(platform="cli")
    say(phantom(platform="cli"))
    phantom(keep=True)
    say(phantom(keep=True, created_at=old))
    say(make_session(name="Planning", platform="automagik"))
    plan = Session.objects.removal_plan(Window(created_after=now - timedelta(days=30)))
    assert plan.removable == 2
    assert plan.kept == KeptCounts(
        named_by_person=1, other_platform=2, marked_keep=2, outside_window=2, has_messages=1
    )
    assert plan.removable + plan.kept.total == Session.objects.count()


def test_removal_plan_of_a_selection_takes_two_queries() -> None:
    chosen = [phantom(), make_session()]
    phantom()
    with CaptureQueriesContext(connection) as queries:
        plan = Session.objects.filter(pk__in=[row.pk for row in chosen]).removal_plan()
    reads = [query for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) == 2  # the reasons; the removable ones
    assert (plan.removable, plan.kept.total) == (1, 1)


def test_for_user() -> None:
    ana, bruno = (User.objects.create_user(name) for name in ("ana", "bruno"))
    mine = make_session(user=ana)
    make_session(user=bruno)
    make_session()
    assert list(Session.objects.for_user(ana)) == [mine]
    assert not Session.objects.for_user(AnonymousUser()).exists()


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL's parallel workers")
@pytest.mark.django_db(transaction=True)
def test_what_is_removable_is_counted_without_parallel_workers() -> None:
    def workers() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW max_parallel_workers_per_gather")
            [value] = cursor.fetchone()
        return str(value)

    during: list[str] = []

    def note(execute: Any, sql: str, *arguments: Any) -> Any:
        if "NOT EXISTS" in sql:
            during.append(workers())
        return execute(sql, *arguments)

    usual = workers()
    with connection.execute_wrapper(note):
        Session.objects.removal_plan()
    assert during == ["0"]
    assert workers() == usual != "0"
