"""Shared code of the admin pages: permissions, links, base classes and fields."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import (
    BadRequest,
    FieldDoesNotExist,
    PermissionDenied,
    ValidationError,
)
from django.db import Error
from django.db.models import ForeignKey, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.text import Truncator

from sessions_app.admin.formatting import as_text, time_with_seconds
from sessions_app.admin.paging import RowCount
from sessions_app.database_errors import is_unavailable

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic in the type stubs only

logger = logging.getLogger(__name__)

LINK_LENGTH = 60  # characters


def may_view(request: HttpRequest, model: type[Model]) -> bool:
    """Whether the user may open the admin pages of `model`."""
    return admin.site.is_registered(model) and admin.site.get_model_admin(
        model
    ).has_view_permission(request)


def current_user(request: HttpRequest) -> User:
    """Return the request's user, who is never anonymous in the admin."""
    return cast("User", request.user)


def admin_page(
    model_admin: ModelAdmin, request: HttpRequest, template: str, **context: Any
) -> HttpResponse:
    """Render a page of `model_admin`, with the context that all admin templates need."""
    common = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "media": model_admin.media,
    }
    return TemplateResponse(request, template, {**common, **context})


def link_if_allowed(request: HttpRequest, row: Model, text: str) -> str:
    """Return a link to the row's page, or plain text for users who may not view it."""
    if not may_view(request, type(row)):
        return text
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html('<a href="{}">{}</a>', reverse(name, args=[quote(row.pk)]), text)


@dataclass(frozen=True)
class RelatedLink:
    """A column or read-only field that shows a related row, with a link if the user may view it.

    It stores the request, since Django passes only the row. It must be comparable: Django looks up
    read-only fields in the list of fields.
    """

    field: str
    request: HttpRequest

    @property
    def __name__(self) -> str:
        return self.field

    @property
    def short_description(self) -> str:
        return self.field.replace("_", " ")

    def __call__(self, row: Model) -> str:
        related: Model | None = getattr(row, self.field)
        if related is None:
            return "-"
        return link_if_allowed(self.request, related, Truncator(str(related)).chars(LINK_LENGTH))


class CheckedAdmin(ModelAdmin):
    """Django's ModelAdmin, hardened against manipulated requests.

    Django rejects filters that it cannot build, but some of those it builds fail in the database.
    """

    # Whether a row's page and the list show times, and so have to name the time zone.
    shows_times: ClassVar[bool] = False
    lists_times: ClassVar[bool] = True
    # Shown below an empty list without filters: where its rows come from.
    empty_list_hint: ClassVar[str] = ""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # No page uses these, and a pattern can keep the database busy for minutes.
        if lookup.rpartition(LOOKUP_SEP)[2] in {"regex", "iregex"}:
            return False
        return super().lookup_allowed(lookup, value, request)

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        """Return the list. Raises IncorrectLookupParameters if the database rejects a filter."""
        try:
            changelist = super().get_changelist_instance(request)
            if request.GET and request.method != "POST":
                len(changelist.result_list)  # fetched now, so that errors are caught
        except (Error, LookupError, OverflowError, TypeError, ValueError) as error:
            if not request.GET or is_unavailable(error):
                raise
            logger.warning("A filter of an admin's list failed", exc_info=error)
            raise IncorrectLookupParameters(error) from error
        if not isinstance(changelist.result_count, RowCount):  # which groups the digits
            changelist.result_count = RowCount(changelist.result_count)
        if changelist.full_result_count is not None:
            changelist.full_result_count = RowCount(changelist.full_result_count)
        changelist.show_admin_actions = bool(changelist.result_count)
        return changelist

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        # Django validates a field name from the request, but not an empty one.
        return super().get_object(request, object_id, from_field or None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also requires the permission to view: the page links to what it deletes."""
        may_view = self.has_view_or_change_permission(request, obj)
        return may_view and super().has_delete_permission(request, obj)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *location: Any, **named: Any
    ) -> HttpResponse | None:
        """Like Django's; raises BadRequest for selected rows with invalid primary keys."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(key, None)
            except ValidationError as error:
                raise BadRequest(f"No row has the key {key!r}.") from error
        # Django passes the form's location since 6.1.
        return super().response_action(request, queryset, *location, **named)


class PermittedFieldsAdmin(CheckedAdmin):
    """Pages that reveal nothing about other models to users who may not view them.

    Related rows are links only for users who may view them. (Django links them for everyone, even
    if the link responds with 403.)
    """

    # By model, the fields that reveal its rows; hidden from users who may not view the model.
    fields_revealing: ClassVar[dict[type[Model], tuple[str, ...]]] = {}

    def get_list_display(self, request: HttpRequest) -> Any:
        hidden = self._hidden_fields(request)
        columns = super().get_list_display(request)
        return [self._linked(request, column) for column in columns if column not in hidden]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        hidden = self._hidden_fields(request)
        read_only = super().get_readonly_fields(request, obj)
        may_only_view = obj is not None and not self.has_change_permission(request, obj)
        return [
            (
                title,
                {
                    **options,
                    "fields": [
                        self._linked(request, field)
                        if may_only_view or field in read_only
                        else field
                        for field in options["fields"]
                        if field not in hidden
                    ],
                },
            )
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return [self._linked(request, field) for field in fields]

    def get_search_fields(self, request: HttpRequest) -> Any:
        hidden = self._hidden_fields(request)
        return [
            field
            for field in super().get_search_fields(request)
            if field.split(LOOKUP_SEP)[0] not in hidden
        ]

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if lookup.split(LOOKUP_SEP)[0] in self._hidden_fields(request):
            return False
        return super().lookup_allowed(lookup, value, request)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django looks up the row first, which reveals whether it exists.
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        return super().history_view(request, object_id, extra_context)

    def _hidden_fields(self, request: HttpRequest) -> set[str]:
        return {
            field
            for model, fields in self.fields_revealing.items()
            if not may_view(request, model)
            for field in fields
        }

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        """Return a RelatedLink for the name of a foreign key, and any other name unchanged."""
        try:
            is_related = isinstance(self.opts.get_field(name), ForeignKey)
        except FieldDoesNotExist:
            return name
        return RelatedLink(name, request) if is_related else name


class ReadOnlyAdmin(PermittedFieldsAdmin):
    """Pages whose rows can be viewed, but not added, changed or deleted."""

    shows_times = True  # all of these record when something happened

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class PlainLines:
    """Shows each message in one line; agents_app overrides this to remove the markup."""

    def as_line(self, text: str, role: str) -> str:
        """Return a message's text, or a part of it, in one line."""
        return " ".join(text.split())


def json_field(name: str) -> Callable[[ModelAdmin, Model], str]:
    """Return a read-only field for a ModelAdmin that shows the JSON column `name`."""

    @admin.display(description=name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str:
        text = as_text(getattr(obj, name))
        return format_html('<pre class="json">{}</pre>', text) if text else "-"

    return show


def time_field(name: str) -> Callable[[ModelAdmin, Model], str]:
    """Return a read-only field for a ModelAdmin that shows the time column `name`."""

    @admin.display(description=name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str:
        moment: datetime | None = getattr(obj, name)
        return "-" if moment is None else time_with_seconds(moment)

    return show


def count_field(name: str) -> Callable[[ModelAdmin, Model], str]:
    """Return a column or read-only field that shows the number `name` with grouped digits."""

    @admin.display(description=name.replace("_", " "))
    def show(model_admin: ModelAdmin, obj: Model) -> str:
        return f"{getattr(obj, name):,}"

    return show
