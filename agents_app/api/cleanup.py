"""Cleanups, for staff keys: preview, run, list and undo them."""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from django.http import HttpRequest
from django.utils import timezone
from ninja import Router

from agents_app.api.auth import check_permission, require_scope, user_of
from agents_app.api.errors import ERRORS, ApiError, Error
from agents_app.api.paging import PageNumber, PageSize
from agents_app.api.request_schemas import CleanupRequest
from agents_app.api.response_schemas import (
    CleanupOutcome,
    CleanupRunList,
    CleanupRunSummary,
    Restored,
)
from agents_app.models import Scope
from sessions_app.ages import parse_age
from sessions_app.cleanup.options import Options, Target, as_criteria
from sessions_app.cleanup.restoring import restore_run
from sessions_app.cleanup.run import run_cleanup, start_cleanup
from sessions_app.models import CleanupRun, Session
from sessions_app.querysets import Window

router = Router(tags=["cleanup"])

_REMOVE = "sessions_app.delete_session"
_VIEW = "sessions_app.view_cleanuprun"
_RESTORE = "sessions_app.restore_session"  # as in the admin


@router.post(
    "/sessions/cleanup",
    response={200: CleanupOutcome, ERRORS: Error},
    auth=require_scope(Scope.CLEANUP),
)
def clean_up_sessions(request: HttpRequest, body: CleanupRequest | None = None) -> CleanupOutcome:
    """Preview or run a cleanup of phantom sessions.

    Sessions are removed only if `dry_run` is false.
    """
    _check_staff(request, _REMOVE, "remove sessions")
    body = body or CleanupRequest()
    started = time.monotonic()
    try:
        window = _window(body)
        target, options = Target(window, body.limit), Options(max_seconds=body.max_seconds)
    except ValueError as error:
        raise ApiError(422, "invalid", str(error)) from None
    plan = Session.objects.removal_plan(window)
    outcome = CleanupOutcome(
        run=None,
        dry_run=body.dry_run,
        status=CleanupRun.Status.DONE,
        matched=target.expected(plan),
        removed=0,
        kept=asdict(plan.kept),
        seconds=0,
    )
    if not body.dry_run:
        user = user_of(request)
        run = start_cleanup(
            source=CleanupRun.Source.API,
            started_by=user.get_username(),
            user=user,
            matched=outcome.matched,
            criteria=as_criteria(target, options),
        )
        run_cleanup(run, Session.objects.all(), target, options)
        outcome.run, outcome.removed, outcome.status = run.pk, run.removed, run.status
    outcome.seconds = round(time.monotonic() - started, 3)
    return outcome


@router.get(
    "/cleanup-runs",
    response={200: CleanupRunList, ERRORS: Error},
    auth=require_scope(Scope.CLEANUP),
)
def list_cleanup_runs(
    request: HttpRequest,
    page: PageNumber = 1,
    page_size: PageSize = 50,
) -> CleanupRunList:
    """List the cleanups, newest first."""
    _check_staff(request, _VIEW, "view cleanups")
    start = (page - 1) * page_size
    runs = CleanupRun.objects.with_current_status().order_by("-pk")
    rows = list(runs[start : start + page_size + 1])
    return CleanupRunList(
        runs=[_summary(run) for run in rows[:page_size]],
        page=page,
        page_size=page_size,
        has_next=len(rows) > page_size,
    )


@router.post(
    "/cleanup-runs/{run_id}/restore",
    response={200: Restored, ERRORS: Error},
    auth=require_scope(Scope.CLEANUP),
)
def restore_sessions(request: HttpRequest, run_id: int) -> Restored:
    """Restore the sessions that a cleanup removed.

    They are marked to be kept, so that no later cleanup removes them.
    """
    _check_staff(request, _RESTORE, "restore sessions")
    run = CleanupRun.objects.filter(pk=run_id).first() if 0 < run_id < 2**63 else None
    if run is None:
        raise ApiError(404, "cleanup_run_not_found", f"There is no cleanup {run_id}.")
    restored = restore_run(run)
    return Restored(
        run=run.pk, restored=restored.count, ids_in_use=[str(pk) for pk in restored.ids_in_use]
    )


def _check_staff(request: HttpRequest, permission: str, what: str) -> None:
    """Raise ApiError unless the key's user is staff, as for the admin, and has the permission."""
    if not user_of(request).is_staff:
        raise ApiError(403, "no_permission", f"Only staff may {what}.")
    check_permission(request, permission, what)


def _summary(run: CleanupRun) -> CleanupRunSummary:
    return CleanupRunSummary(
        id=run.pk,
        source=run.source,
        started_by=run.started_by,
        status=run.current_status,
        criteria=run.criteria,
        matched=run.matched,
        removed=run.removed,
        restored=run.restored,
        started_at=run.started_at,
        finished_at=run.finished_at,
        error=run.error,
    )


def _window(body: CleanupRequest) -> Window:
    """When the sessions were created. Raises ValueError."""
    now = timezone.now()
    after, before = _in_utc(body.created_after), _in_utc(body.created_before)
    if body.days is not None:
        after = now - timedelta(days=body.days)
    if body.older_than is not None:
        before = now - parse_age(body.older_than)
    return Window(after, before)


def _in_utc(moment: datetime | None) -> datetime | None:
    """The moment in UTC, since PostgreSQL accepts no offset of 16 hours or more.

    A moment without an offset is in TIME_ZONE. Raises ValueError.
    """
    if moment is None:
        return None
    aware = timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    try:
        return aware.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{moment.isoformat()} is outside the calendar's range.") from None
