"""The list of sessions: which rows a page of it has, and what is read for them."""

from typing import Any

from django.contrib.admin.views.main import ChangeList
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from sessions_app.models import Message


class SessionList(ChangeList):
    """Counts the messages of each session listed, and leaves out the metadata."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        counts = Message.objects.filter(session=OuterRef("pk")).order_by().values("session")
        message_count = Subquery(counts.values(count=Count("pk")), output_field=IntegerField())
        sessions: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        sessions = sessions.annotate(message_count=Coalesce(message_count, 0))
        return sessions.defer("metadata")
