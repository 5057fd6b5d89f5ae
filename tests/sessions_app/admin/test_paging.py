"""The pages of the list of sessions: every session once, and no more counted than is needed."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sessions_app.admin import paging
from sessions_app.admin.paging import KeyPaginator, Precision, RowCount, count_rows
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import NAME_START
from tests.factories import make_session, phantom, say
from tests.sessions_app.admin.helpers import LIST, Page, choose, log_in

START = datetime(2026, 1, 1, tzinfo=UTC)
PER_PAGE = 5

ORDERS: dict[str, tuple[Any, ...]] = {
    "newest first": ("-created_at", "-id"),
    "oldest first": ("created_at", "id"),
    "by name": (NAME_START.asc(), "id"),
    "by name, backwards": (NAME_START.desc(), "-id"),
    "last active first": ("-updated_at", "-id"),
}

pytestmark = pytest.mark.django_db


@pytest.fixture
def root() -> Client:
    return log_in(User.objects.create_superuser("root", password="secret"))


@pytest.fixture
def count_up_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Give up counting after so many rows."""
    return lambda number: monkeypatch.setattr(paging, "COUNTED", number)


def make_ties(number: int) -> None:
    """Sessions of which several have the same name and times."""
    Session.objects.bulk_create(
        Session(
            name=f"Topic {n // 4}",
            created_at=START + timedelta(days=n // 3),
            updated_at=START + timedelta(days=n // 7),
        )
        for n in range(number)
    )


def walk(rows: QuerySet[Any], first: int, step: str) -> list[list[Any]]:
    """The keys of the pages from the first, or the last, to the other end."""
    pages, number = [], first
    while number:
        page = KeyPaginator(rows, PER_PAGE).page(number)
        pages.append(page.keys)
        number = getattr(page, step)
    return pages


# --- Every row once ------------------------------------------------------------------


@pytest.mark.parametrize("counted", [1000, 12])
@pytest.mark.parametrize("order", ORDERS)
def test_every_row_is_on_one_page_in_both_directions(
    order: str, counted: int, count_up_to: Callable[[int], None]
) -> None:
    make_ties(23)
    count_up_to(counted)
    rows = Session.objects.order_by(*ORDERS[order])
    in_order = list(rows.values_list("pk", flat=True))
    forwards = walk(rows.filter(name__startswith="T"), 1, "next")
    assert [key for page in forwards for key in page] == in_order
    backwards = walk(rows.filter(name__startswith="T"), -1, "previous")
    assert [key for page in reversed(backwards) for key in page] == in_order
    assert {len(page) for page in [*forwards[:-1], *backwards[1:-1]]} == {PER_PAGE}


def test_where_all_are_counted_pages_from_the_end_are_those_from_the_beginning() -> None:
    make_ties(23)
    rows = Session.objects.order_by("-created_at", "-id")
    for number in range(1, 6):
        page = KeyPaginator(rows, PER_PAGE).page(number)
        assert page == KeyPaginator(rows, PER_PAGE).page(number - 6)


@pytest.mark.parametrize("counted", [1000, 12])
@pytest.mark.parametrize("number", [0, 99, -99])
def test_a_page_that_does_not_exist_is_the_nearest(
    number: int, counted: int, count_up_to: Callable[[int], None]
) -> None:
    make_ties(23)
    count_up_to(counted)
    rows = Session.objects.filter(name__startswith="T").order_by("created_at", "id")
    nearest = -1 if number == 99 else 1
    shown, expected = (KeyPaginator(rows, PER_PAGE).page(n).keys for n in (number, nearest))
    assert shown == expected


def test_the_last_pages_are_read_from_the_end() -> None:
    make_ties(23)
    with CaptureQueriesContext(connection) as queries:
        KeyPaginator(Session.objects.order_by("-created_at", "-id"), PER_PAGE).page(5)
    assert 'ORDER BY "sessions"."created_at" ASC, "sessions"."id" ASC LIMIT 3' in queries[-1]["sql"]


# --- Counts --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (RowCount(0), "0"),
        (RowCount(1234567), "1,234,567"),
        (RowCount(10_000, Precision.EXCEEDED), "more than 10,000"),
        (RowCount(1_000_123, Precision.ESTIMATED), "about 1,000,000"),
        (RowCount(987_654, Precision.ESTIMATED), "about 988,000"),
    ],
)
def test_a_count_says_how_exact_it_is(count: RowCount, text: str) -> None:
    assert str(count) == f"{count}" == text


def test_counts_are_exact_up_to_a_number_of_rows_and_read_no_more() -> None:
    make_ties(23)
    rows = Session.objects.filter(name__startswith="T").order_by("name")
    assert count_rows(rows, at_most=23) == RowCount(23)
    with CaptureQueriesContext(connection) as queries:
        count = count_rows(rows, at_most=22)
    assert str(count) == "more than 22"
    assert len(queries) == 1
    assert "LIMIT 23" in queries[0]["sql"]
    assert "ORDER BY" not in queries[0]["sql"]


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="the planner's estimate")
def test_the_whole_table_is_estimated() -> None:
    make_ties(40)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions")
    assert str(count_rows(Session.objects.all(), at_most=22)) == "about 40"


# --- The list ------------------------------------------------------------------------


def names(page: Page) -> list[str]:
    return re.findall(r'field-shown_name">.*?>([^<]+)</a>', page.html)


def press(page: Page, text: str) -> Page:
    """Follow the pagination's link of that text."""
    found = re.search(rf'<a href="([^"]+)"[^>]*>{text}</a>', page.html)
    assert found, text
    return Page.of(page.client, LIST + found[1].replace("&amp;", "&"))


def test_the_list_is_paged_through_without_knowing_its_length(
    root: Client, count_up_to: Callable[[int], None]
) -> None:
    count_up_to(60)
    Session.objects.bulk_create(
        Session(name=f"Chat {n}", platform="web", created_at=START + timedelta(hours=n))
        for n in range(130)
    )
    page = Page.of(root, f"{LIST}?platform=web")
    assert "more than 60 chat sessions" in page.text
    assert "Select all chat sessions on all pages" in page.text
    assert names(page)[0] == "Chat 129"
    page = press(press(page, "Next"), "Next")
    assert names(page) == [f"Chat {n}" for n in range(29, -1, -1)]
    page = press(page, "last")
    assert names(page) == [f"Chat {n}" for n in range(49, -1, -1)]
    assert names(press(page, "Previous")) == [f"Chat {n}" for n in range(99, 49, -1)]
    assert not page.problems


def test_everything_across_pages_is_selected_though_it_was_not_counted(
    root: Client, count_up_to: Callable[[int], None]
) -> None:
    count_up_to(20)
    some = [phantom() for _ in range(60)]
    say(phantom())
    page = choose(root, some[0], url=f"{LIST}?platform=automagik", across=True)
    assert "60 of the 61 selected" in page.text
    page = page.press("confirm")
    assert CleanupRun.objects.get().removed == 60


@pytest.mark.parametrize("column", ["1", "-1", "6", "-6", "7", "-7"])
def test_ties_of_an_ordered_list_go_in_its_direction(root: Client, column: str) -> None:
    make_ties(3)
    with CaptureQueriesContext(connection) as queries:
        Page.of(root, f"{LIST}?o={column}")
    direction = "DESC" if column.startswith("-") else "ASC"
    page = next(q["sql"] for q in queries if "ORDER BY" in q["sql"] and "LIMIT 3" in q["sql"])
    order = page.partition("ORDER BY ")[2].partition(" LIMIT")[0]
    assert order.endswith((f'"sessions"."id" {direction}', f"1 {direction}"))
    assert order.count(direction) == 2


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="plans of PostgreSQL")
@pytest.mark.parametrize(
    ("order", "index"),
    [
        ("newest first", "sessions_newest"),
        ("oldest first", "sessions_newest"),
        ("by name", "sessions_by_name"),
        ("by name, backwards", "sessions_by_name"),
        ("last active first", "sessions_by_activity"),
    ],
)
def test_a_page_is_read_from_an_index(order: str, index: str) -> None:
    make_session()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    keys = Session.objects.order_by(*ORDERS[order]).values_list("pk", flat=True)
    plan = keys[50:100].explain()
    assert f"using {index}" in plan
    assert "Sort" not in plan


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="plans of PostgreSQL")
def test_removable_sessions_are_read_in_order_without_the_others() -> None:
    Session.objects.bulk_create(Session(name=f"Topic {n}") for n in range(300))
    phantom()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sessions")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
    removable = Session.objects.removable().filter(keep=False)
    keys = removable.order_by(*ORDERS["newest first"]).values_list("pk", flat=True)
    plan = keys[:50].explain()
    assert "using sessions_auto_named_newest" in plan
    assert "Sort" not in plan
