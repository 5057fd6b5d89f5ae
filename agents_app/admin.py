"""The admin's pages of agents, and of what became of each answer."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest
from django.utils import timezone
from django.utils.text import Truncator

from agents_app.llm.model_strings import check_model_string
from agents_app.models import Agent, AgentRun
from sessions_app.admin.base import ReadOnlyAdmin, ReviewAdmin, short_time, time_field
from sessions_app.admin.filters import TimeFilter
from sessions_app.models import Message, Session
from sessions_app.text import UnstorableText, encodable, storable_json


class ConfigField(forms.JSONField):
    """An object, of what every database can store; or `stored`, whatever that is."""

    stored: Any = None

    def to_python(self, value: Any) -> Any:
        try:
            config = super().to_python(value)
            if config is None:
                return {}
            if config == self.stored:
                return config
            config = storable_json(config)
        except UnstorableText as error:
            raise ValidationError(str(error), code="unstorable") from None
        except (ValueError, RecursionError):  # numbers and nesting without end
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None
        if not isinstance(config, dict):
            raise ValidationError("Write an object, such as {}.", code="no_object")
        return config

    def bound_data(self, data: Any, initial: Any) -> Any:
        return InvalidJSONInput(data)  # what was written is shown as it was written

    def prepare_value(self, value: Any) -> Any:
        return encodable(super().prepare_value(value))


class AgentForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Says here, and not at the first chat, that a model does not exist.

    What an agent has already is not questioned: one that was imported with a model of
    another installation must still be possible to switch off.
    """

    config = ConfigField(required=False)

    class Meta:
        model = Agent
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets choose

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk is None:
            return
        # Fields are missing for those who may only look.
        if isinstance(config := self.fields.get("config"), ConfigField):
            config.stored = self.instance.config
        if "type" in self.fields:
            self.fields["type"].required = bool(self.instance.type)

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        stored: str = self.instance.name
        return stored if name == stored.strip() else name

    def clean_model(self) -> str:
        model: str = self.cleaned_data["model"]
        stored: str = self.instance.model
        if model == stored.strip():
            return stored
        check_model_string(model)
        return model


@admin.register(Agent)
class AgentAdmin(ReviewAdmin):
    """Who can be chatted with, on which model, and with which instructions."""

    form = AgentForm
    list_display = ("name", "model_or_default", "active")
    list_filter = ("active",)
    search_fields = ("name", "model", "description")

    fieldsets = (
        (None, {"fields": ("name", "active", "description")}),
        ("Behaviour", {"fields": ("model", "system_prompt")}),
        ("Details", {"fields": ("type", "config", "created_at_shown", "updated_at_shown")}),
    )
    readonly_fields = ("created_at_shown", "updated_at_shown")

    created_at_shown = time_field("created_at")
    updated_at_shown = time_field("updated_at")

    @admin.display(description="model", ordering="model")
    def model_or_default(self, agent: Agent) -> str:
        return agent.model or "(default)"

    def save_model(self, request: HttpRequest, obj: Agent, form: Any, change: bool) -> None:
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)


@admin.register(AgentRun)
class AgentRunAdmin(ReadOnlyAdmin):
    """Each answer of an agent: who asked, how it ended, and why it failed."""

    list_display = ("started", "status", "session", "user", "agent", "short_error")
    list_filter = ("status", "agent", ("created_at", TimeFilter))
    list_select_related = ("session", "user", "agent")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-created_at", "-id")
    search_fields = ("session__name", "user__username", "error")
    search_help_text = "Name of the chat (if you may see chats), user name, or words of the error"
    fields_that_tell_of = {Session: ("session",), Message: ("message", "text")}

    fields = (
        *("status", "error", "session", "message", "user", "agent"),
        *("text", "created_at_shown", "heartbeat_at_shown", "finished_at_shown", "id"),
    )

    created_at_shown = time_field("created_at")
    heartbeat_at_shown = time_field("heartbeat_at")
    finished_at_shown = time_field("finished_at")

    class Media:
        css = {"all": ["sessions_app/admin.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentRun]:
        runs: QuerySet[AgentRun] = super().get_queryset(request)
        return runs.defer("text", "session__metadata")

    @admin.display(description="started")
    def started(self, run: AgentRun) -> str:
        return short_time(run.created_at)

    @admin.display(description="error")
    def short_error(self, run: AgentRun) -> str:
        return Truncator(run.error).chars(120)
