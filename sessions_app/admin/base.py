"""What the admin's pages have in common: read-only pages, counts and times, JSON for people."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import Error
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from sessions_app.text import json_text

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin  # generic in the type stubs only


class ReadOnlyAdmin(ModelAdmin):
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


def short_time(moment: datetime) -> str:
    """A time for a narrow column of a list."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M}"


def counted(count: int, noun: str = "session") -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def first_line(error: Error) -> str:
    """What the database complains about."""
    return str(error).strip().split("\n")[0] or type(error).__name__
