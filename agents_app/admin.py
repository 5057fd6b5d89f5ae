"""The admin's pages of agents."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.utils import timezone

from agents_app.models import Agent
from agents_app.providers import check_model_string
from sessions_app.admin.base import ModelAdmin
from sessions_app.text import UnstorableText, storable_json


class ConfigField(forms.JSONField):
    """An object, of what every database can store."""

    def to_python(self, value: Any) -> Any:
        try:
            config = storable_json(super().to_python(value))
        except UnstorableText as error:
            raise ValidationError(str(error), code="unstorable") from None
        except (ValueError, RecursionError):  # numbers and nesting without end
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if not isinstance(config, dict | None):
            raise ValidationError("Write an object, such as {}.", code="no_object")
        return config or {}

    def bound_data(self, data: Any, initial: Any) -> Any:
        return InvalidJSONInput(data)  # what was written is shown as it was written


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Says here, and not at the first chat, that a model does not exist."""

    config = ConfigField(required=False)

    class Meta:
        model = Agent
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets choose

    def clean_model(self) -> str:
        model: str = self.cleaned_data["model"].strip()
        check_model_string(model)
        return model


@admin.register(Agent)
class AgentAdmin(ModelAdmin):
    """Who can be chatted with, on which model, and with which instructions."""

    form = AgentForm
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
