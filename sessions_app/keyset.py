"""Keyset pagination: each page begins after the last row of the one before."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

# A column that rows are ordered by, a row's value in it, and whether the order is descending.
Key = tuple[str, Any, bool]


def rows_after(keys: Sequence[Key]) -> Q:
    """The rows that come after the row with these keys, the last of which leaves no ties.

    (a, b) > (x, y) is written as a >= x AND (a > x OR b > y): the first condition lets the scan of
    an index on a start at x, which the alternatives alone would not.
    """
    (name, value, descending), *others = keys
    later = "lt" if descending else "gt"
    strictly = Q(**{f"{name}__{later}": value})
    if not others:
        return strictly
    return Q(**{f"{name}__{later}e": value}) & (strictly | rows_after(others))
