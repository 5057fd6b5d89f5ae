"""The sessions before and after one in the filtered list, found by its place in the order.

By keyset: what the list is ordered by is compared with the session's own values, so that the
way to the next one is as short at the end of the list as at its beginning.
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
# What fails for a list's address that somebody has made by hand.
_BAD_FILTERS = (
    *(Error, IncorrectLookupParameters, SuspiciousOperation),
    *(LookupError, OverflowError, TypeError, ValueError),
)


class Neighbour(NamedTuple):
    """What is needed for a link to a session."""

    pk: UUID
    name: str

    def __str__(self) -> str:
        return self.name or str(self.pk)


@dataclass(frozen=True)
class Neighbours:
    """The sessions beside one; None at either end of the list."""

    previous: Neighbour | None = None
    next: Neighbour | None = None


def find_neighbours(
    model_admin: ModelAdmin, request: HttpRequest, chat_session: Session, filters: str
) -> Neighbours:
    """The sessions before and after this one in the list with these filters.

    Also for one that is not in the list any more, as after it has been reviewed.
    """
    try:
        return _find(model_admin, request, chat_session, QueryDict(filters))
    except _BAD_FILTERS as error:
        if is_unavailable(error):
            raise
        logger.warning("The filters of an admin's list failed", exc_info=error)
        return Neighbours()


def _find(
    model_admin: ModelAdmin, request: HttpRequest, chat_session: Session, query: QueryDict
) -> Neighbours:
    # The same order without the filters, which the session itself may not pass.
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
    # Values, so that the list's annotations are not computed.
    for row in chat_sessions.values_list("pk", "name")[:1]:
        return Neighbour(*row)
    return None


def _has_filters(query: QueryDict) -> bool:
    return bool(set(query) - {ORDER_VAR, PAGE_VAR})


def _listed(model_admin: ModelAdmin, request: HttpRequest, query: QueryDict) -> QuerySet[Session]:
    """The list's rows in its order, without the work of showing a page of them."""
    of_list = copy(request)
    of_list.method = "GET"
    of_list.GET = query  # type: ignore[assignment]  # a copy of a QueryDict is mutable
    list_display = list(model_admin.get_list_display(of_list))
    if model_admin.get_actions(of_list):
        list_display.insert(0, "action_checkbox")  # columns are numbered in the address

    class Unpaged(model_admin.get_changelist(of_list)):  # type: ignore[misc]  # made per admin
        def get_results(self, request: HttpRequest) -> None:
            """Nothing: no page is shown."""

    changelist = Unpaged(
        of_list,
        model_admin.model,
        list_display,
        list_display[:1],
        # Making the filters can take queries, for their choices.
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
    """What the list is ordered by, as far as it decides: Django adds its default once more."""
    keys: list[OrderBy] = []
    for term in ordering:
        key = _as_order(term)
        if all(key.expression != earlier.expression for earlier in keys):
            keys.append(key)
        if key.expression in (F("pk"), F("id")):
            break  # it leaves no ties
    return keys


def _as_order(term: Any) -> OrderBy:
    if isinstance(term, str):
        field = F(term.removeprefix("-"))
        return field.desc() if term.startswith("-") else field.asc()
    return term if isinstance(term, OrderBy) else term.asc()
