"""The admin pages of sessions: the list, and one session with its transcript."""

import string
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import model_ngettext, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CASCADE, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from sessions_app.admin.bulk_removal import remove_empty_sessions
from sessions_app.admin.export import export_sessions
from sessions_app.admin.filters import PlatformFilter, RemovableFilter, TimeFilter, UserFilter
from sessions_app.admin.session_list import SessionList
from sessions_app.admin.shared import (
    ReviewAdmin,
    json_field,
    may_read_transcripts,
    short_time,
    time_field,
)
from sessions_app.admin.transcript import load_transcript
from sessions_app.models import Session
from sessions_app.writing import SessionGone

_EDITABLE = ("name", "agent")
_ID_PREFIX = 8  # the first group of a UUID; a shorter one would match by chance


class SessionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Offers the active agents, and the session's current one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "agent" in self.fields:
            field = cast("Any", self.fields["agent"])
            # No buttons that would change or delete the agent itself.
            field.widget.can_change_related = field.widget.can_delete_related = False
            field.queryset = _agents().filter(Q(active=True) | Q(pk=self.instance.agent_id))

    def clean_agent(self) -> Model | None:
        """The agent, locked: if it were deleted meanwhile, the COMMIT would fail."""
        agent: Model | None = self.cleaned_data["agent"]
        if agent and not _agents().select_for_update(no_key=True).filter(pk=agent.pk).exists():
            raise forms.ValidationError("This agent has just been deleted.", code="deleted")
        return agent


class BaseSessionAdmin(ReviewAdmin):
    """The list of sessions, editing one, and removing them; agents_app adds the conversation.

    None is added here: a session exists because a person started a chat.
    """

    form = SessionForm
    list_display = (
        *("shown_name", "user", "platform", "agent", "message_count"),
        *("created", "last_activity"),
    )
    list_filter = (RemovableFilter, PlatformFilter, "agent", UserFilter, ("created_at", TimeFilter))
    list_select_related = ("user", "agent")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ("shown_name", "platform", "created", "last_activity")
    ordering = ("-created_at", "-id")
    search_fields = ("name", "user__username", "user__email")
    search_help_text = "Name, id (or its beginning), user name or e-mail address"
    actions = (remove_empty_sessions, export_sessions)

    fields = (
        "name",
        "user",
        "agent",
        "platform",
        "created_at_shown",
        "updated_at_shown",
        "run_finished_at_shown",
        "metadata_json",
        "id",
    )
    readonly_fields = tuple(field for field in fields if field not in _EDITABLE)

    created_at_shown = time_field("created_at")
    updated_at_shown = time_field("updated_at")
    run_finished_at_shown = time_field("run_finished_at")
    metadata_json = json_field("metadata")

    class Media:
        css = {"all": ["sessions_app/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the user may export sessions; transcripts need their own permission too."""
        return request.user.has_perm("sessions_app.export_session")

    # --- The list ------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionList

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django passes the location since 6.1.
        location = {} if action_location is None else {"action_location": action_location}
        actions: dict[str, Any] = super().get_actions(request, **location)
        # It would delete messages as well.
        actions.pop("delete_selected", None)
        return actions

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django would ignore the action and show the list.
        if request.method == "POST" and not self.get_actions(request):
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        if ids := _ids_starting_with(search_term):
            found |= queryset.filter(pk__range=ids)
        return found, may_have_duplicates

    @admin.display(description="name", ordering="name")
    def shown_name(self, chat_session: Session) -> str:
        return chat_session.name or "(no name)"

    @admin.display(description="messages")
    def message_count(self, chat_session: Session) -> int:
        count: int = chat_session.message_count  # type: ignore[attr-defined]  # SessionList's
        return count

    @admin.display(description="created", ordering="created_at")
    def created(self, chat_session: Session) -> str:
        return short_time(chat_session.created_at)

    @admin.display(description="last activity", ordering="updated_at")
    def last_activity(self, chat_session: Session) -> str:
        return short_time(chat_session.updated_at)

    # --- One session ---------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Session | None:
        """The session; for a POST its row is locked until the end of the transaction.

        Locked first and read afterwards: the locking statement's snapshot is from before it
        waited for a writer that was storing a message.
        """
        chat_session: Session | None = super().get_object(request, object_id, from_field)
        if chat_session is None or request.method != "POST":
            return chat_session
        with transaction.atomic():
            list(Session.objects.select_for_update().filter(pk=chat_session.pk).values("pk"))
        chat_session = super().get_object(request, object_id, from_field)
        return chat_session

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except SessionGone:
            message = "Nothing was saved: the session has been deleted."
            self.message_user(request, message, messages.ERROR)
            return redirect("admin:sessions_app_session_changelist")

    def save_model(self, request: HttpRequest, obj: Session, form: Any, change: bool) -> None:
        """Save only what staff may edit, since a chat may have written the other columns."""
        updated = Session.objects.filter(pk=obj.pk).update(
            **{field: getattr(obj, field) for field in _EDITABLE}
        )
        if not updated:
            raise SessionGone(obj.pk)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """The form, with the transcript for users who may read it."""
        if may_read_transcripts(request):
            context["transcript"] = load_transcript(context["original"], request)
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Deletion of one session ---------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete a session and its dependents, unless their number has changed since shown."""
        if request.method != "POST":
            return super().delete_view(request, object_id, extra_context)
        if not self.has_delete_permission(request):
            raise PermissionDenied
        with transaction.atomic():
            chat_session = self.get_object(request, unquote(object_id))
            if chat_session is not None:
                dependents = str(sum(dependent_counts([chat_session]).values()))
                if request.POST.get("dependents", dependents) != dependents:
                    self.message_user(
                        request,
                        "Nothing was deleted: the session has changed since this page was opened.",
                        messages.WARNING,
                    )
                    return redirect(request.get_full_path())
            return super().delete_view(request, object_id, extra_context)

    def get_deleted_objects(
        self, objs: Sequence[Session] | QuerySet[Session], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Like Django's, but counts the dependents of a session instead of listing them all."""
        counts = dependent_counts(objs)
        summary = [f"{n} {model_ngettext(model._meta, n)}" for model, n in counts.items()]
        by_name = {str(model._meta.verbose_name_plural): n for model, n in counts.items()}
        lacking = {
            str(model._meta.verbose_name)
            for model in counts
            if self.admin_site.is_registered(model)
            and not request.user.has_perm(
                f"{model._meta.app_label}.delete_{model._meta.model_name}"
            )
        }
        return summary, {str(self.opts.verbose_name_plural): len(objs), **by_name}, lacking, []

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
        """Django's page; its form posts the number of dependents that it showed."""
        counts = dict(context["model_count"])
        counts.pop(str(self.opts.verbose_name_plural))
        context["dependents"] = sum(counts.values())
        return super().render_delete_form(request, context)


def _agents() -> QuerySet[Any]:
    agents: QuerySet[Any] = Session._meta.get_field("agent").related_model._default_manager.all()
    return agents


def dependent_counts(sessions: Sequence[Session] | QuerySet[Session]) -> dict[type[Model], int]:
    """By model, how many rows are deleted with the sessions."""
    counts = {
        relation.related_model: relation.related_model._base_manager.filter(
            **{f"{relation.field.name}__in": sessions}
        ).count()
        for relation in Session._meta.related_objects
        if relation.on_delete is CASCADE
    }
    return {model: count for model, count in counts.items() if count}


def _ids_starting_with(text: str) -> tuple[UUID, UUID] | None:
    """The lowest and the highest id that start with `text`, if it looks like part of an id."""
    digits = text.strip().replace("-", "")
    if _ID_PREFIX <= len(digits) <= 32 and set(digits) <= set(string.hexdigits):
        return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    return None
