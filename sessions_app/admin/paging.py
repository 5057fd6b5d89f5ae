"""Pagination of lists that may have a million rows.

Django's lists are slow for three reasons: they count all rows, read all columns of the rows before
the page, and reach the last page from the first. Here, a count stops early, or is the database's
estimate, and is shown as such. A page's keys are found first, mostly by an index-only scan, before
the columns of its rows are read. Pages can also be counted from the end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from django.core.paginator import Paginator
from django.db import connections
from django.db.models import QuerySet
from django.utils.functional import cached_property

COUNTED = 10_000  # rows that are counted exactly
_AROUND = 2  # page numbers on each side of the current one


class Precision(Enum):
    """How precisely a number of rows is known."""

    EXACT = "{:,}"
    ESTIMATED = "about {:,}"
    EXCEEDED = "more than {:,}"


class RowCount(int):
    """A number of rows that is shown with its precision: `more than 10,000`.

    An int, since Django's change list and templates compare it with the number of rows of a page.
    """

    precision: Precision

    def __new__(cls, number: int, precision: Precision = Precision.EXACT) -> RowCount:
        count = super().__new__(cls, number)
        count.precision = precision
        return count

    @property
    def is_exact(self) -> bool:
        return self.precision is Precision.EXACT

    def __str__(self) -> str:
        number = int(self)
        if self.precision is Precision.ESTIMATED:
            unit = 10 ** max(0, len(f"{number:d}") - 3)
            number = round(number / unit) * unit
        return self.precision.value.format(number)


def count_up_to(rows: QuerySet[Any, Any], limit: int) -> RowCount:
    """Count the rows, but not beyond the limit."""
    counted = rows.order_by().values("pk")[: limit + 1].count()
    return RowCount(counted) if counted <= limit else RowCount(limit, Precision.EXCEEDED)


def count_rows(rows: QuerySet[Any, Any], *, at_most: int) -> RowCount:
    """Count the rows up to `at_most`; the count of a large unfiltered table is estimated."""
    count = count_up_to(rows, at_most)
    is_large_table = not count.is_exact and not rows.query.where
    if is_large_table and (estimate := _planned_rows(rows)) > at_most:
        return RowCount(estimate, Precision.ESTIMATED)
    return count


def _planned_rows(rows: QuerySet[Any, Any]) -> int:
    """Return how many rows the planner expects, or 0 on databases other than PostgreSQL."""
    if connections[rows.db].vendor != "postgresql":
        return 0
    plan: list[dict[str, Any]] = json.loads(rows.order_by().values("pk").explain(format="json"))
    return int(plan[0]["Plan"]["Plan Rows"])


@dataclass(frozen=True)
class KeyPage:
    """The keys of a page's rows, in order, and the numbers of the adjacent pages, if any."""

    number: int
    keys: list[Any]
    previous: int | None
    next: int | None

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(frozen=True)
class PageLink:
    """An entry of the pagination: a page, or, without a number, a gap between pages."""

    number: int | None
    text: str
    is_current: bool = False
    rel: str = ""


_GAP = PageLink(None, "…")


class KeyPaginator(Paginator):  # type: ignore[type-arg]  # Django has no such subscript
    """Paginates the keys of a queryset, whose order must be total.

    Page 1 is the first. Page -1 is the last and page -2 the one before it: these are found from
    the end, so that the last page is as fast as the first. If all rows were counted, they are
    the same pages as from the start; otherwise the last page is a full one.
    """

    object_list: QuerySet[Any]

    def __init__(self, object_list: QuerySet[Any], per_page: int, **options: Any) -> None:
        super().__init__(object_list, per_page, **options)
        ordered = object_list.select_related(None)
        self._forward = ordered.values_list("pk", flat=True)
        self._backward = ordered.reverse().values_list("pk", flat=True)

    @cached_property
    def count(self) -> RowCount:
        return count_rows(self.object_list, at_most=COUNTED)

    def page(self, number: Any) -> KeyPage:  # type: ignore[override]
        """Return the page with this number, or the nearest one."""
        number = int(number) or 1
        if not self.count.is_exact and self._is_far(number):
            self.count = RowCount(self.object_list.order_by().count())
        if self.count.is_exact:
            if number < 0:
                number += self.num_pages + 1
            return self._numbered(min(max(number, 1), self.num_pages))
        page = self._from_start(number) if number > 0 else self._from_end(number)
        if page.keys:
            return page
        return self._from_end(-1) if number > 0 else self._from_start(1)

    def links(self, page: KeyPage) -> Iterator[PageLink]:
        """Yield the pagination: the first and last page, and those around the current one."""
        around = range(page.number - _AROUND, page.number + _AROUND + 1)
        if self.count.is_exact:
            numbers = {1, self.num_pages, *(n for n in around if 1 <= n <= self.num_pages)}
        elif page.number > 0:
            last_known = max(self.count // self.per_page, page.next or page.number)
            numbers = {1, -1, *(n for n in around if 1 <= n <= last_known)}
        else:
            first_known = page.previous or page.number
            numbers = {1, -1, *(n for n in around if first_known <= n <= -1)}
        if page.previous:
            yield PageLink(page.previous, "Previous", rel="prev")
        # Numbers from the end are negative, and come last.
        shown = sorted(numbers, key=lambda n: (n < 0, n))
        for before, number in zip([0, *shown], shown, strict=False):
            if number != before + 1:
                yield _GAP
            yield PageLink(number, _label(number), is_current=number == page.number)
        if page.next:
            yield PageLink(page.next, "Next", rel="next")

    def _is_far(self, number: int) -> bool:
        """Whether a page is in the second half of a list whose length is estimated."""
        estimated = self.count.precision is Precision.ESTIMATED
        return estimated and number * self.per_page > self.count / 2

    def _numbered(self, number: int) -> KeyPage:
        """Return a page of a list that was counted, from its closer end."""
        start = (number - 1) * self.per_page
        stop = min(start + self.per_page, self.count)
        if not self.count:
            keys = []
        elif start <= self.count / 2:
            keys = list(self._forward[start:stop])
        else:
            keys = list(self._backward[self.count - stop : self.count - start])[::-1]
        return KeyPage(
            number,
            keys,
            previous=number - 1 if number > 1 else None,
            next=number + 1 if number < self.num_pages else None,
        )

    def _from_start(self, number: int) -> KeyPage:
        start = (number - 1) * self.per_page
        keys = list(self._forward[start : start + self.per_page + 1])
        return KeyPage(
            number,
            keys[: self.per_page],
            previous=number - 1 if number > 1 else None,
            next=number + 1 if len(keys) > self.per_page else None,
        )

    def _from_end(self, number: int) -> KeyPage:
        start = (-number - 1) * self.per_page
        keys = list(self._backward[start : start + self.per_page + 1])
        return KeyPage(
            number,
            keys[: self.per_page][::-1],
            previous=number - 1 if len(keys) > self.per_page else None,
            next=number + 1 if number < -1 else None,
        )


def _label(number: int) -> str:
    if number > 0:
        return f"{number:,}"
    return "last" if number == -1 else f"last − {-number - 1:,}"
