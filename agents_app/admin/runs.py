"""The admin pages of agent runs."""

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator

from agents_app.models import AgentRun
from sessions_app.admin.filters import TimeFilter
from sessions_app.admin.said import SaidAdmin
from sessions_app.admin.shared import short_time, time_field
from sessions_app.models import Session

# The library's own pages of its queue fail for requests that no browser makes, and say nothing of
# a run that its page here does not.
if apps.is_installed("procrastinate.contrib.django"):
    for model in apps.get_app_config("procrastinate").get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)


@admin.register(AgentRun)
class AgentRunAdmin(SaidAdmin):
    """Agent runs: who asked, how the run ended, and why it failed."""

    list_display = ("started", "status", "session", "user", "agent", "short_error")
    list_filter = ("status", "agent", ("created_at", TimeFilter))
    list_select_related = ("session", "user", "agent")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-created_at", "-id")
    search_fields = ("session__name", "user__username", "error")
    search_help_text = "Name of the chat, user name, or text of the error, as far as you may see it"
    fields_revealing = {Session: ("session",)}
    # Errors quote what a model was sent or has answered.
    fields_said = ("message", "text", "error", "short_error", "options")
    read_via_page = "run"

    fields = (
        *("status", "error", "session", "message", "user", "agent"),
        *("model", "input_tokens", "output_tokens", "cost", "truncated"),
        *("text", "created_at_shown", "first_token_at_shown", "heartbeat_at_shown"),
        *("finished_at_shown", "id"),
    )

    created_at_shown = time_field("created_at")
    first_token_at_shown = time_field("first_token_at")
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
        return Truncator(run.error.replace("\n", " ")).chars(120)
