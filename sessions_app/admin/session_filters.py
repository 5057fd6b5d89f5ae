"""The filters of the session list; `filters` contains those that are shared with other lists."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Exists, OuterRef
from django.http import HttpRequest

from sessions_app.admin.filters import NewestValuesFilter
from sessions_app.admin.shared import ModelAdmin
from sessions_app.models import Message, Review, Session
from sessions_app.querysets import PHANTOM_PLATFORM, SessionQuerySet
from sessions_app.run_statuses import RunStatus


class ChoiceFilter(admin.SimpleListFilter):
    """Offers a few fixed choices; any other value is rejected instead of ignored."""

    choices_offered: ClassVar[list[tuple[str, str]]] = []

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return self.choices_offered

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        if value is None or value == "":
            return queryset
        if value not in dict(self.lookup_choices):
            raise IncorrectLookupParameters(f"{self.parameter_name}={value!r}")
        return self.chosen(queryset, value)

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        """Return the sessions for one choice."""
        raise NotImplementedError


class RemovableFilter(admin.SimpleListFilter):
    """Filters by whether a cleanup may remove the session."""

    title = "removable"
    parameter_name = "removable"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        return [("yes", "Yes (empty and auto-named)"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: Any) -> SessionQuerySet:
        sessions: SessionQuerySet = queryset
        if self.value() == "yes":
            return sessions.removable()
        if self.value() == "no":
            removable = Session.objects.removable().filter(pk=OuterRef("pk"))
            return sessions.filter(~Exists(removable))
        return sessions


class PlatformFilter(NewestValuesFilter):
    """Filters by platform; always offers that of phantoms, even if no new session is one."""

    title = "platform"
    parameter_name = "platform"
    always_offered = frozenset({PHANTOM_PLATFORM})


class MessagesFilter(ChoiceFilter):
    """Filters by whether the session has messages."""

    title = "messages"
    parameter_name = "messages"
    choices_offered = [("yes", "At least one"), ("no", "None (empty)")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        said = Exists(Message.objects.filter(session=OuterRef("pk")))
        return sessions.filter(said if value == "yes" else ~said)


class TrashFilter(ChoiceFilter):
    """Filters by whether the user deleted the session and can still restore it."""

    title = "trash"
    parameter_name = "trash"
    choices_offered = [("no", "Not in the trash"), ("yes", "In the trash")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.not_trashed() if value == "no" else sessions.trashed()


class OutcomeFilter(ChoiceFilter):
    """Filters by how the session's latest run ended."""

    title = "last answer"
    parameter_name = "outcome"

    # The statuses that are stored with a session; a run that has not started counts as running.
    STORED = (
        *(RunStatus.DONE, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.INTERRUPTED),
        RunStatus.RUNNING,
    )

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin) -> list[tuple[str, str]]:
        labels = [(status.value, status.label) for status in self.STORED]
        return [*labels, ("none", "No answer yet")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.filter(last_run_status="" if value == "none" else value)


class ReviewedFilter(ChoiceFilter):
    """Filters by whether staff have reviewed the session."""

    title = "reviewed"
    parameter_name = "reviewed"
    choices_offered = [("yes", "Yes"), ("no", "No")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        if value == "yes":
            return sessions.filter(review__reviewed_at__isnull=False)
        reviews = Review.objects.filter(session=OuterRef("pk"), reviewed_at__isnull=False)
        return sessions.filter(~Exists(reviews))


class FlaggedFilter(ChoiceFilter):
    """Filters by sessions that staff have flagged."""

    title = "flagged"
    parameter_name = "flagged"
    choices_offered = [("yes", "Yes")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.filter(review__flagged=True)


class VerdictFilter(ChoiceFilter):
    """Filters by the reviewers' verdict on the whole session."""

    title = "verdict"
    parameter_name = "verdict"
    choices_offered = [(verdict.value, str(verdict.label)) for verdict in Review.Verdict]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.filter(review__verdict=value)
