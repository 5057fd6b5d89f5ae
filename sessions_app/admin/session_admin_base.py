"""The base of the sessions' admin: the list, its actions, and a session's page.

agents_app.admin.sessions registers a subclass that adds the conversation to the page.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import model_ngettext, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import CASCADE, Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import capfirst

from sessions_app.admin.bulk_removal import remove_empty_sessions
from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.export_action import export_sessions
from sessions_app.admin.filters import TimeFilter, UserFilter
from sessions_app.admin.message_search_filter import PARAMETER as SEARCH_PARAMETER
from sessions_app.admin.message_search_filter import MessageSearchFilter, search_of
from sessions_app.admin.saved_filters import SavedFilters
from sessions_app.admin.session_columns import SessionColumns, prepare
from sessions_app.admin.session_filters import (
    FlaggedFilter,
    MessagesFilter,
    OutcomeFilter,
    PlatformFilter,
    RemovableFilter,
    ReviewedFilter,
    TrashFilter,
    VerdictFilter,
)
from sessions_app.admin.shared import PermittedFieldsAdmin, PlainLines
from sessions_app.models import Session
from sessions_app.search.sessions import search_sessions
from sessions_app.writing import SessionGone

_EDITABLE = ("name", "agent")
# In two parts: agents_app inserts its own filters between them.
STATE_FILTERS: tuple[Any, ...] = (
    *(RemovableFilter, MessagesFilter, OutcomeFilter),
    *(ReviewedFilter, FlaggedFilter, VerdictFilter),
)
OTHER_FILTERS: tuple[Any, ...] = (
    *(PlatformFilter, TrashFilter, "agent", UserFilter),
    *(("created_at", TimeFilter), ("updated_at", TimeFilter)),
    # Last: it searches for very common words only in the sessions that match the other filters.
    MessageSearchFilter,
)


class SessionForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Offers the active agents and the session's current one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "agent" in self.fields:
            field = cast("Any", self.fields["agent"])
            # No buttons that change or delete the agent itself.
            field.widget.can_change_related = field.widget.can_delete_related = False
            field.queryset = _agents().filter(Q(active=True) | Q(pk=self.instance.agent_id))

    def clean_agent(self) -> Model | None:
        """Return the agent, locked: if it were deleted now, the COMMIT would fail."""
        agent: Model | None = self.cleaned_data["agent"]
        if agent and not _agents().select_for_update(no_key=True).filter(pk=agent.pk).exists():
            raise forms.ValidationError("This agent has just been deleted.", code="deleted")
        return agent


class SessionList(KeyedChangeList):
    """Reads the sessions' own columns; `prepare` adds the other data of a page's rows."""

    def with_columns(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        return rows.order_by().select_related("user", "agent").defer("metadata")


class BaseSessionAdmin(SessionColumns, SavedFilters, PlainLines, PermittedFieldsAdmin):
    """Lists, edits and removes sessions; agents_app adds the conversation.

    Sessions cannot be added here: users create them by starting chats.
    """

    form = SessionForm
    list_display = (
        *("shown_name", "user", "agent", "platform_badge", "message_count"),
        *("created", "last_activity", "outcome", "removable", "review_marks"),
    )
    list_filter: ClassVar[Any] = (*STATE_FILTERS, *OTHER_FILTERS)
    list_select_related = ("user", "agent")
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ("shown_name", "created", "last_activity")  # columns with an index
    ordering = ("-created_at", "-id")
    search_fields = ("name", "user__username", "user__email")
    search_help_text = "Name, id (or its beginning), user name or e-mail address"
    actions = (remove_empty_sessions, export_sessions)

    fields = _EDITABLE
    shows_times = True
    empty_list_hint = "They are added by users' chats and by programs that use the API."

    class Media:
        css = {"all": ["sessions_app/admin/records.css", "sessions_app/admin/session_list.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Whether the user may export sessions; transcripts require another permission too."""
        return request.user.has_perm("sessions_app.export_session")

    # --- The list ------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionList

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        changelist = super().get_changelist_instance(request)
        changelist.message_search = search_of(changelist)  # type: ignore[attr-defined]
        # The message search has its own box, and does not count as a filter.
        filters = changelist.get_filters_params().keys() - {SEARCH_PARAMETER}
        changelist.has_active_filters = bool(filters)
        if request.method != "POST":  # actions need no columns
            changelist.result_list = prepare(changelist.result_list, request, changelist)
        return changelist

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        # Django passes the location since 6.1.
        location = {} if action_location is None else {"action_location": action_location}
        actions: dict[str, Any] = super().get_actions(request, **location)
        # It would also delete messages.
        actions.pop("delete_selected", None)
        return actions

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        # Django would ignore the action and show the list.
        if request.method == "POST" and not self.get_actions(request):
            raise PermissionDenied
        context = {
            "title": capfirst(str(self.opts.verbose_name_plural)),
            **self.saved_filters_context(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Session], search_term: str
    ) -> tuple[QuerySet[Session], bool]:
        fields = self.get_search_fields(request)
        user_fields = [field.removeprefix("user__") for field in fields if field != "name"]
        return search_sessions(queryset, search_term, user_fields=user_fields), False

    # --- One session ---------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Session | None:
        """Return the session; for a POST, its row is locked until the end of the transaction.

        It is read after the lock, in another statement: the locking one's snapshot is from before
        it waited, perhaps for a writer that was storing a message.
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
        """Save only what staff may edit, since a chat may have written the other columns.

        A name that a person chose protects the session from every cleanup.
        """
        edited = {field: getattr(obj, field) for field in _EDITABLE}
        if "name" in form.changed_data:
            edited["keep"] = True
        updated = Session.objects.filter(pk=obj.pk).update(**edited)
        if not updated:
            raise SessionGone(obj.pk)

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Return the history entry, with the old and the new name and the effect of renaming."""
        changes = []
        if "name" in form.changed_data:
            before, after = form.initial["name"], form.cleaned_data["name"]
            changes.append(f"Renamed from “{before}” to “{after}”, and marked to be kept.")
        if "agent" in form.changed_data:
            changes.append(f"Agent set to {form.cleaned_data['agent'] or '(none)'}.")
        return " ".join(changes) or []  # which Django shows as "No fields changed."

    # --- Deletion of one session ---------------------------------------------------

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete a session and its dependents, unless their number differs from the one shown."""
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
        """Like Django's, but counts the dependents of a session instead of listing them."""
        counts = dependent_counts(objs)
        summary = [f"{n:,} {model_ngettext(model._meta, n)}" for model, n in counts.items()]
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
        """Render Django's page, with a form that posts the number of dependents that it showed."""
        counts = dict(context["model_count"])
        counts.pop(str(self.opts.verbose_name_plural))
        context["dependents"] = sum(counts.values())
        return super().render_delete_form(request, context)


def _agents() -> QuerySet[Any]:
    agents: QuerySet[Any] = Session._meta.get_field("agent").related_model._default_manager.all()
    return agents


def dependent_counts(sessions: Sequence[Session] | QuerySet[Session]) -> dict[type[Model], int]:
    """Return, by model, how many rows are deleted with the sessions."""
    counts = {
        relation.related_model: relation.related_model._base_manager.filter(
            **{f"{relation.field.name}__in": sessions}
        ).count()
        for relation in Session._meta.related_objects
        if relation.on_delete is CASCADE
    }
    return {model: count for model, count in counts.items() if count}
