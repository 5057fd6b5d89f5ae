"""The admin's pages of agents."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from agents_app.models import Agent
from sessions_app.admin.base import ModelAdmin


@admin.register(Agent)
class AgentAdmin(ModelAdmin):
    """Who can be chatted with, on which model, and with which instructions."""

    list_display = ("name", "model_or_default", "active")
    list_filter = ("active",)
    search_fields = ("name", "model", "description")

    fieldsets = (
        (None, {"fields": ("name", "active", "description")}),
        ("Behaviour", {"fields": ("model", "system_prompt")}),
        ("Details", {"fields": ("type", "config", "created_at", "updated_at")}),
    )
    readonly_fields = ("created_at", "updated_at")

    @admin.display(description="model", ordering="model")
    def model_or_default(self, agent: Agent) -> str:
        return agent.model or "(default)"

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
