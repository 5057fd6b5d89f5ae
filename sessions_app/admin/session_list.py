"""The list of sessions: which rows a page of it has, and what is read for them."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest


class SessionList(ChangeList):
    """Leaves out the metadata; columns.prepare reads what else a page's rows show."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        sessions: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return sessions.defer("metadata")
