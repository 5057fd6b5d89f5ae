"""Finds the sessions before and after a session in the filtered list.

By keyset: the columns that the list is ordered by are compared with the session's values, so that
its neighbours are found as fast at the end of the list as at its beginning.
"""

import logging
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ORDER_VAR, PAGE_VAR
from django.core.exceptions import SuspiciousOperation
from django.db import Error
from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest, QueryDict

from sessions_app.admin.shared import ModelAdmin
from sessions_app.database_errors import is_unavailable
from sessions_app.keyset import rows_after
from sessions_app.models import Session

logger = logging.getLogger(__name__)

_KEY = "neighbour_key_{}"
# Errors that a manipulated list address can cause.
_BAD_FILTERS = (
    *(Error, IncorrectLookupParameters, SuspiciousOperation),
    *(LookupError, OverflowError, TypeError, ValueError),
)


class Neighbour(NamedTuple):
    """The data for a link to a session."""

    pk: UUID
    name: str

    def __str__(self) -> str:
        return self.name or str(self.pk)


@dataclass(frozen=True)
class Neighbours:
    """The sessions before and after one; None at the ends of the list."""

    previous: Neighbour | None = None
    next: Neighbour | None = None


def find_neighbours(
    model_admin: ModelAdmin, request: HttpRequest, chat_session: Session, filters: str
) -> Neighbours:
    """Return the sessions before and after this one in the list with these filters.

    Also works for a session that is no longer in the list, for example after it was reviewed.
    """
    try:
        return _find(model_admin, request, chat_session, QueryDict(filters))
    except _BAD_FILTERS as error:
        if is_unavailable(error):
            raise
        logger.warning(
            "The session's neighbours are not shown: the filters of its list fail", exc_info=error
        )
        return Neighbours()


def _find(
    model_admin: ModelAdmin, request: HttpRequest, chat_session: Session, query: QueryDict
) -> Neighbours:
    # The same order without the filters, which the session itself may not match.
    unfiltered = query.copy()
    for name in [name for name in unfiltered if name != ORDER_VAR]:
        del unfiltered[name]
    everything = _listed(model_admin, request, unfiltered)
    listed = _listed(model_admin, request, query) if _has_filters(query) else everything
    keys = _keys(everything.query.order_by)
    names = [_KEY.format(number) for number in range(len(keys))]
    expressions = {name: key.expression for name, key in zip(names, keys, strict=True)}
    own = everything.filter(pk=chat_session.pk).annotate(**expressions).values_list(*names)
    values = own.first()
    if values is None or None in values:  # nothing compares with NULL
        return Neighbours()
    candidates = listed.annotate(**expressions)
    forward = list(zip(names, values, [key.descending for key in keys], strict=True))
    backward = [(name, value, not descending) for name, value, descending in forward]
    return Neighbours(
        previous=_nearest(candidates.filter(rows_after(backward)).reverse()),
        next=_nearest(candidates.filter(rows_after(forward))),
    )


def _nearest(chat_sessions: QuerySet[Session]) -> Neighbour | None:
    # Values only, so that the list's annotations are not computed.
    for row in chat_sessions.values_list("pk", "name")[:1]:
        return Neighbour(*row)
    return None


def _has_filters(query: QueryDict) -> bool:
    return bool(set(query) - {ORDER_VAR, PAGE_VAR})


def _listed(model_admin: ModelAdmin, request: HttpRequest, query: QueryDict) -> QuerySet[Session]:
    """Return the list's rows in its order, without the work of building a page."""
    of_list = copy(request)
    of_list.method = "GET"
    of_list.GET = query  # type: ignore[assignment]  # a copy of a QueryDict is mutable
    list_display = list(model_admin.get_list_display(of_list))
    if model_admin.get_actions(of_list):
        list_display.insert(0, "action_checkbox")  # the address refers to columns by number

    class Unpaged(model_admin.get_changelist(of_list)):  # type: ignore[misc]  # depends on the admin
        def get_results(self, request: HttpRequest) -> None:
            """Do nothing: no page is shown."""

    changelist = Unpaged(
        of_list,
        model_admin.model,
        list_display,
        list_display[:1],
        # Building the filters may run queries for their choices.
        model_admin.get_list_filter(of_list) if _has_filters(query) else (),
        model_admin.date_hierarchy,
        model_admin.get_search_fields(of_list),
        False,  # no related rows
        model_admin.list_per_page,
        model_admin.list_max_show_all,
        model_admin.list_editable,
        model_admin,
        model_admin.get_sortable_by(of_list),
        model_admin.search_help_text,
    )
    chat_sessions: QuerySet[Session] = changelist.queryset
    return chat_sessions


def _keys(ordering: Iterable[Any]) -> list[OrderBy]:
    """Return the keys that decide the order, without those that Django's default order repeats."""
    keys: list[OrderBy] = []
    for term in ordering:
        key = _as_order(term)
        if all(key.expression != earlier.expression for earlier in keys):
            keys.append(key)
        if key.expression in (F("pk"), F("id")):
            break  # unique, so that further keys have no effect
    return keys


def _as_order(term: Any) -> OrderBy:
    if isinstance(term, str):
        field = F(term.removeprefix("-"))
        return field.desc() if term.startswith("-") else field.asc()
    return term if isinstance(term, OrderBy) else term.asc()
