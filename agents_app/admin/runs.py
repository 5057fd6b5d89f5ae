"""The admin pages of agent runs."""

from typing import Any

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.text import Truncator

from agents_app.admin.run_changelist import ERRORS_SEARCHED, FOUND, RunList, search_runs
from agents_app.admin.run_columns import RunColumns
from agents_app.admin.run_filters import CurrentStatusFilter, ModelFilter
from agents_app.models import AgentRun
from agents_app.querysets import AgentRunQuerySet
from sessions_app.admin.filters import SessionFilter, TimeFilter, UserFilter
from sessions_app.admin.message_links import SessionLink, link_to_message
from sessions_app.admin.shared import may_view, time_field
from sessions_app.admin.transcript_access import TranscriptAdmin, may_read_transcripts
from sessions_app.models import Message, Session

# The library's own admin pages of its queue fail for manipulated requests, and show nothing about a
# run that its page here does not show.
if apps.is_installed("procrastinate.contrib.django"):
    for model in apps.get_app_config("procrastinate").get_models():
        if admin.site.is_registered(model):
            admin.site.unregister(model)

_EXCERPT = 200  # characters


@admin.register(AgentRun)
class AgentRunAdmin(RunColumns, TranscriptAdmin):
    """Agent runs: who asked, how the run ended, its times and cost, and why it failed."""

    list_display = (
        *("created", "status_badge", "session", "short_error", "times"),
        *("model_name", "tokens", "shown_cost", "user"),
    )
    list_filter = (
        SessionFilter,
        CurrentStatusFilter,
        "agent",
        ModelFilter,
        UserFilter,
        ("created_at", TimeFilter),
    )
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    ordering = ("-created_at", "-id")
    empty_list_hint = "Each answer of an agent is one run."
    # These make Django show the search box; search_runs() searches them.
    search_fields = ("error", "user__username", "session__name")
    search_help_text = (
        f"Error text (latest {ERRORS_SEARCHED:,} errors), user name, run id, or session name or "
        "id, where you are allowed to view them"
    )
    fields_revealing = {Session: ("session",)}
    # An error may quote what a model was sent or answered.
    transcript_fields = (
        *("message", "answer", "text", "options"),
        *("error", "short_error", "full_error"),
    )
    read_via_page, read_via_list = "run", "list of runs"

    fieldsets = (
        (None, {"fields": ("status_badge", "full_error")}),
        ("Conversation", {"fields": ("session", "message", "answer", "user", "agent", "text")}),
        (
            "What it took",
            {"fields": ("model_name", "tokens_in", "tokens_out", "shown_cost", "was_truncated")},
        ),
        (
            "When",
            {
                "fields": (
                    *("created_at_shown", "started_at_shown"),
                    *("first_token_at_shown", "first_token"),
                    *("finished_at_shown", "total_time", "heartbeat_at_shown", "id"),
                )
            },
        ),
    )

    created_at_shown = time_field("created_at")
    started_at_shown = time_field("started_at")
    first_token_at_shown = time_field("first_token_at")
    heartbeat_at_shown = time_field("heartbeat_at")
    finished_at_shown = time_field("finished_at")

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "agents_app/admin/runs.css"]}

    def shows_text(self, request: HttpRequest, row: Any) -> bool:
        return bool(row.error_start) or (may_view(request, Session) and bool(row.session.opening))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return RunList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AgentRun], search_term: str
    ) -> tuple[QuerySet[AgentRun], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        found, is_cut = search_runs(
            queryset,
            text,
            in_sessions=may_view(request, Session),
            in_errors=may_read_transcripts(request),
        )
        if is_cut:
            self.message_user(
                request,
                f"More than {FOUND:,} errors, users or sessions match: only the runs of "
                f"{FOUND:,} are listed. Use a longer text to narrow the search.",
                messages.WARNING,
            )
        return found, False

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AgentRun | None:
        run: AgentRun | None = super().get_object(request, object_id, from_field)
        if run is not None:
            # Also read the rows that its page links to.
            runs: AgentRunQuerySet = self.get_queryset(request).with_current_status()  # type: ignore[attr-defined]
            related = runs.select_related("session", "message", "user", "agent")
            run = related.defer("options", "session__metadata").filter(pk=run.pk).first()
        return run

    def _linked(self, request: HttpRequest, name: Any) -> Any:
        if name == "session":
            return SessionLink(name, request)
        if name in {"message", "answer"}:
            return _MESSAGES[name](name, request)
        return super()._linked(request, name)

    @admin.display(description="error", empty_value="-")
    def full_error(self, run: AgentRun) -> str:
        return format_html('<div class="run-error">{}</div>', run.error) if run.error else ""


class _QuestionLink(SessionLink):
    """The message that the run answers: its first words, as a link to the conversation."""

    short_description = "question"

    def __call__(self, row: Any) -> str:
        return _excerpt_link(self.request, row.message)


class _AnswerLink(SessionLink):
    """A link to the beginning of the run's answer, if it is stored as messages."""

    def __call__(self, row: Any) -> str:
        first = Message.objects.filter(run=row).order_by("position").first()
        return "-" if first is None else _excerpt_link(self.request, first)


def _excerpt_link(request: HttpRequest, message: Message) -> str:
    start = Truncator(" ".join(message.text_content[: 5 * _EXCERPT].split())).chars(_EXCERPT)
    label = start or f"{message.get_role_display()}, message {message.position}"
    return link_to_message(request, message, label)


_MESSAGES = {"message": _QuestionLink, "answer": _AnswerLink}
