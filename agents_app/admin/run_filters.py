"""The filters of the list of runs."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet
from django.http import HttpRequest

from agents_app.models import AgentRun, RunStatus
from agents_app.querysets import AgentRunQuerySet
from sessions_app.admin.filters import NewestValuesFilter
from sessions_app.admin.shared import ModelAdmin


class CurrentStatusFilter(admin.SimpleListFilter):
    """Filters by the current status; a run that is presumed dead counts as interrupted."""

    title = "status"
    parameter_name = "status__exact"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [(status.value, str(status.label)) for status in RunStatus]

    def queryset(self, request: HttpRequest, queryset: Any) -> AgentRunQuerySet:
        runs: AgentRunQuerySet = queryset
        value = self.value()
        if value is None:
            return runs
        if value not in RunStatus.values:
            raise IncorrectLookupParameters(f"{self.parameter_name}={value!r}")
        return runs.currently(value)


class ModelFilter(NewestValuesFilter):
    """Filters by model; does not offer runs without one."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [choice for choice in super().lookups(request, model_admin) if choice[0]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AgentRun]) -> QuerySet[AgentRun]:
        if not self.value():
            return queryset
        # The index contains only runs with a model.
        return super().queryset(request, queryset.exclude(model=""))
