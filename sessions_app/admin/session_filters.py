"""The filters of the list of sessions; those that other lists have, too, are in filters."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Exists, OuterRef
from django.http import HttpRequest

from sessions_app.admin.filters import NewestValuesFilter
from sessions_app.admin.shared import ModelAdmin
from sessions_app.agent_run_status import RunStatus
from sessions_app.models import Message, Review, Session
from sessions_app.querysets import PHANTOM_PLATFORM, SessionQuerySet


class ChoiceFilter(admin.SimpleListFilter):
    """A few fixed choices; a value that is none of them is refused, not ignored."""

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
        """The sessions of one choice."""
        raise NotImplementedError


class RemovableFilter(admin.SimpleListFilter):
    """Whether a cleanup may remove the session."""

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
    """By platform; also the one of phantoms, of which the newest sessions may be none."""

    title = "platform"
    parameter_name = "platform"
    always_offered = frozenset({PHANTOM_PLATFORM})


class MessagesFilter(ChoiceFilter):
    """Whether anything was said."""

    title = "messages"
    parameter_name = "messages"
    choices_offered = [("yes", "At least one"), ("no", "None (empty)")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        said = Exists(Message.objects.filter(session=OuterRef("pk")))
        return sessions.filter(said if value == "yes" else ~said)


class TrashFilter(ChoiceFilter):
    """Whether the session's user has deleted it, and can still restore it."""

    title = "trash"
    parameter_name = "trash"
    choices_offered = [("no", "Not in the trash"), ("yes", "In the trash")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.not_trashed() if value == "no" else sessions.trashed()


class OutcomeFilter(ChoiceFilter):
    """How the session's latest run ended."""

    title = "last answer"
    parameter_name = "outcome"

    # What is stored of a run; one that has not begun counts as running.
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
    """Whether staff have reviewed the session."""

    title = "reviewed"
    parameter_name = "reviewed"
    choices_offered = [("yes", "Yes"), ("no", "No")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        if value == "yes":
            return sessions.filter(review__reviewed_at__isnull=False)
        reviews = Review.objects.filter(session=OuterRef("pk"), reviewed_at__isnull=False)
        return sessions.filter(~Exists(reviews))


class FlaggedFilter(ChoiceFilter):
    """What staff have flagged."""

    title = "flagged"
    parameter_name = "flagged"
    choices_offered = [("yes", "Yes")]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.filter(review__flagged=True)


class VerdictFilter(ChoiceFilter):
    """The verdict of staff on the whole session."""

    title = "verdict"
    parameter_name = "verdict"
    choices_offered = [(verdict.value, str(verdict.label)) for verdict in Review.Verdict]

    def chosen(self, sessions: SessionQuerySet, value: str) -> SessionQuerySet:
        return sessions.filter(review__verdict=value)
