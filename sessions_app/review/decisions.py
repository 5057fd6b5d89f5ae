"""What staff decide about a session: verdict, note, flag, reviewed, and whether to keep it.

Each change is recorded in the admin's log, whichever page makes it.
"""

from collections.abc import Mapping

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils import timezone

from sessions_app.models import Review, Session
from sessions_app.writing import SessionGone

_REVIEW = "Review: "  # how the log says what has changed


class ReviewedMeanwhile(Exception):
    """Another reviewer has changed the fields in question since they were shown.

    `by` is that reviewer's name; `stored` maps each of these fields to its current value.
    """

    def __init__(self, by: str, stored: Mapping[str, str]) -> None:
        super().__init__(f"{by} has reviewed this session in the meantime.")
        self.by = by
        self.stored = stored


@transaction.atomic
def review_session(
    chat_session: Session,
    *,
    by: User,
    verdict: str | None = None,
    note: str | None = None,
    flagged: bool | None = None,
    reviewed: bool | None = None,
    shown: Mapping[str, str] | None = None,
) -> list[str]:
    """Change the given parts of a session's review; returns what has changed, in words.

    A verdict marks the session as reviewed, unless `reviewed` says otherwise. An empty review is
    deleted, since a session with a review is not removable.

    `shown` has the verdict and the note that the reviewer was shown. Raises ReviewedMeanwhile,
    and changes nothing, if a stored one differs from both the shown and the given one;
    SessionGone if the session does not exist, and ValueError for an unknown verdict.
    """
    if verdict and verdict not in Review.Verdict:
        raise ValueError(f"{verdict!r} is not a verdict.")
    _lock(chat_session)
    review = Review.objects.filter(session=chat_session).first() or Review(session=chat_session)
    note = None if note is None else note.strip()
    conflicts = _conflicts(review, {"verdict": verdict, "note": note}, shown or {})
    if conflicts:
        raise ReviewedMeanwhile(_last_reviewer(chat_session), conflicts)
    changes = []
    if verdict is not None and verdict != review.verdict:
        review.verdict = verdict
        changes.append(f"verdict {verdict}" if verdict else "no verdict")
        if verdict and reviewed is None:
            reviewed = True
    if note is not None and note != review.note:
        review.note = note
        changes.append("note" if note else "no note")
    if flagged is not None and flagged != review.flagged:
        review.flagged = flagged
        changes.append("flagged" if flagged else "not flagged")
    if reviewed is not None and reviewed != bool(review.reviewed_at):
        review.reviewed_at = timezone.now() if reviewed else None
        review.reviewed_by = by if reviewed else None
        changes.append("reviewed" if reviewed else "not reviewed")
    if not changes:
        return []
    if review.verdict or review.note or review.flagged or review.reviewed_at:
        review.save()
    elif review.pk:
        review.delete()
    _log(chat_session, by, f"{_REVIEW}{', '.join(changes)}.")
    return changes


@transaction.atomic
def keep_session(chat_session: Session, *, by: User, keep: bool) -> bool:
    """Set or clear a session's keep mark; returns whether that changed anything.

    Raises SessionGone if the session does not exist.
    """
    _lock(chat_session)
    changed = Session.objects.filter(pk=chat_session.pk, keep=not keep).update(keep=keep)
    if changed:
        _log(chat_session, by, "Marked to be kept." if keep else "No longer marked to be kept.")
    return bool(changed)


def _conflicts(
    review: Review, given: Mapping[str, str | None], shown: Mapping[str, str]
) -> dict[str, str]:
    """The stored values of fields that have changed since they were shown, and would change."""
    stored = {name: getattr(review, name) for name in shown if given[name] is not None}
    return {
        name: value for name, value in stored.items() if value not in {shown[name], given[name]}
    }


def _lock(chat_session: Session) -> None:
    """Lock the session's row, as everything that inserts references to it has to: see writing."""
    locked = Session.objects.select_for_update().filter(pk=chat_session.pk)
    if not locked.values_list("pk").first():
        raise SessionGone(chat_session.pk)


def _last_reviewer(chat_session: Session) -> str:
    """The name of whoever last changed the session's review, according to the log."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Session),
        object_id=str(chat_session.pk),
        change_message__startswith=_REVIEW,
    )
    last = entries.select_related("user").order_by("-action_time", "-pk").first()
    return last.user.get_username() if last else "Somebody"


def _log(chat_session: Session, by: User, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [chat_session], CHANGE, message, single_object=True)
