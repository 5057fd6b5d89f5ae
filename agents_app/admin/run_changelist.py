"""The list of runs: the columns that are read, and the search."""

from typing import Any

from django.contrib.auth.models import User
from django.db.models import BooleanField, ExpressionWrapper, Prefetch, Q, QuerySet
from django.db.models.functions import Left

from agents_app.admin.run_columns import ERROR_LENGTH
from agents_app.models import AgentRun
from sessions_app.admin.changelist import KeyedChangeList
from sessions_app.admin.message_links import sessions_with_opening
from sessions_app.models import Session
from sessions_app.search.sessions import ids_starting_with, search_sessions

ERRORS_SEARCHED = 10_000  # the newest errors
FOUND = 1_000  # limit for each kind: sessions, users, errors


class RunList(KeyedChangeList):
    """Finds the ids of a page's runs first, and then reads their columns."""

    def with_columns(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        runs: Any = rows
        columns = ("status", "created_at", "finished_at", "first_token_at", "user")
        facts = ("model", "input_tokens", "output_tokens", "cost")
        related = ("session", "user__username", "message__position")
        runs = runs.order_by().with_current_status()
        runs = runs.annotate(error_start=Left("error", 2 * ERROR_LENGTH))
        runs = runs.select_related("user", "message")
        runs = runs.prefetch_related(Prefetch("session", sessions_with_opening()))
        shown: QuerySet[Any] = runs.only(*columns, *facts, *related, "message__session")
        return shown


def search_runs(
    runs: QuerySet[AgentRun], text: str, *, in_sessions: bool, in_errors: bool
) -> tuple[QuerySet[AgentRun], bool]:
    """Find runs whose error, user or session has the text; returns whether there may be more.

    A limited number of each kind is looked up first, so that the runs can then be found by key.
    `in_sessions` also searches the names and ids of sessions, and `in_errors` the errors.
    """
    kinds = [("user", _keys(User.objects.filter(username__icontains=text)))]
    if in_errors:
        kinds.append(("pk", _with_error(text)))
    if in_sessions:
        sessions = search_sessions(Session.objects.all(), text, user_fields=())
        kinds.append(("session", _keys(sessions)))
    found, is_cut = Q(), False
    for field, keys in kinds:
        is_cut |= len(keys) > FOUND
        found |= Q(**{f"{field}__in": keys[:FOUND]})
    if ids := ids_starting_with(text):
        found |= Q(pk__range=ids)
    return runs.filter(found), is_cut


def _keys(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.order_by().values_list("pk", flat=True)[: FOUND + 1])


def _with_error(text: str) -> list[Any]:
    """Return those of the newest runs with an error whose error has the text.

    The text is not a condition of the query: PostgreSQL would then read all runs, instead of the
    newest ones through their index.
    """
    newest = AgentRun.objects.exclude(error="").order_by("-created_at", "-pk")
    has_text = ExpressionWrapper(Q(error__icontains=text), BooleanField())
    searched = newest.annotate(has_text=has_text).values_list("pk", "has_text")[:ERRORS_SEARCHED]
    return [pk for pk, has_text in searched if has_text]
