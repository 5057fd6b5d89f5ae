"""What the admin's pages have in common: read-only pages, counts and times, JSON for people."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db import Error
from django.db.models import Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.utils.formats import date_format
from django.utils.html import format_html

from sessions_app.database import is_unavailable
from sessions_app.text import json_text
from sessions_app.times import local_time

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic in the type stubs only

logger = logging.getLogger(__name__)


class CheckedAdmin(ModelAdmin):
    """Django's, for requests that nobody's browser made: what they ask for may not exist.

    Django refuses filters that it cannot build. Some can be built, and fail in the database.
    """

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # No page links to one, and a pattern can keep a database busy for minutes.
        if lookup.rpartition(LOOKUP_SEP)[2] in {"regex", "iregex"}:
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """The list; raises IncorrectLookupParameters for a filter that cannot be worked with."""
        if not request.GET:
            return super().get_changelist_instance(request)
        try:
            changelist = super().get_changelist_instance(request)
            if request.method != "POST":
                len(changelist.result_list)  # fetched here once, not first in the template
        except (Error, LookupError, OverflowError, TypeError, ValueError) as error:
            if is_unavailable(error):
                raise
            logger.warning("A filter of an admin's list failed", exc_info=error)
            raise IncorrectLookupParameters(error) from error
        return changelist

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        # Django checks the name of a field that comes with the request, unless it is empty.
        return super().get_object(request, object_id, from_field or None)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *location: Any, **named: Any
    ) -> HttpResponse | None:
        """Like Django's; raises BadRequest for ticked rows whose keys no row can have."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(key, None)
            except ValidationError as error:
                raise BadRequest(f"No row has the key {key!r}.") from error
        # Django passes the location of the form since 6.1, and none before.
        return super().response_action(request, queryset, *location, **named)


class ReadOnlyAdmin(CheckedAdmin):
    """Rows to look at: nobody adds, changes or deletes them here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def as_text(value: Any) -> str:
    """A JSON value, indented; nothing for None."""
    return "" if value is None else json_text(value)


def json_field(name: str) -> Callable[[ModelAdmin, Model], str]:
    """A read-only field for a ModelAdmin that shows the JSON column `name`."""

    @admin.display(description=name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str:
        text = as_text(getattr(obj, name))
        return format_html('<pre class="json">{}</pre>', text) if text else "-"

    return show


def time_field(name: str) -> Callable[[ModelAdmin, Model], str | None]:
    """A read-only field for a ModelAdmin that shows the time `name`, whenever it may be."""

    @admin.display(description=name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str | None:
        moment: datetime | None = getattr(obj, name)
        return None if moment is None else date_format(local_time(moment), "DATETIME_FORMAT")

    return show


def short_time(moment: datetime) -> str:
    """A time for a narrow column of a list."""
    return date_format(local_time(moment), "Y-m-d H:i")


def counted(count: int, noun: str = "session") -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def first_line(error: Error) -> str:
    """What the database complains about."""
    return str(error).strip().split("\n")[0] or type(error).__name__
