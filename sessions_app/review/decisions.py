"""What staff decide about a session: verdict, note, flag, reviewed, and whether it is kept.

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
    """Another reviewer has changed what is to be changed, since it was shown.

    `by` is that reviewer's name; `stored` has what is stored now, by the name of the field.
    """

    def __init__(self, by: str, stored: Mapping[str, str]) -> None:
        super().__init__(f"{by} has reviewed this session meanwhile.")
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
    """Change what is given of a session's review; returns what has changed, in words.

    A verdict counts as having reviewed the session, unless `reviewed` says otherwise. A review
    that says nothing any more is deleted, since a session with one is not removable.

    `shown` has the verdict and the note that the reviewer was shown, as far as these matter.
    Raises ReviewedMeanwhile, and changes nothing, when one that is to be changed is another now;
    SessionGone when the session does not exist, and ValueError for an unknown verdict.
    """
    if verdict and verdict not in Review.Verdict:
        raise ValueError(f"{verdict!r} is no verdict.")
    _lock(chat_session)
    # Read again: another reviewer may have changed it since it was shown.
    review = Review.objects.filter(session=chat_session).first() or Review(session=chat_session)
    note = None if note is None else note.strip()
    given = {"verdict": verdict, "note": note}
    stored = {"verdict": review.verdict, "note": review.note}
    changed_meanwhile = {
        name: stored[name]
        for name, value in (shown or {}).items()
        if given[name] is not None and stored[name] not in {value, given[name]}
    }
    if changed_meanwhile:
        raise ReviewedMeanwhile(_last_reviewer(chat_session), changed_meanwhile)
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
    """Keep a session from every cleanup, or no longer; returns whether that has changed.

    Raises SessionGone when the session does not exist.
    """
    _lock(chat_session)
    changed = Session.objects.filter(pk=chat_session.pk, keep=not keep).update(keep=keep)
    if changed:
        _log(chat_session, by, "Marked to be kept." if keep else "No longer marked to be kept.")
    return bool(changed)


def _lock(chat_session: Session) -> None:
    """Lock the session's row, as all that write something that refers to it: see writing."""
    locked = Session.objects.select_for_update().filter(pk=chat_session.pk)
    if not locked.values_list("pk").first():
        raise SessionGone(chat_session.pk)


def _last_reviewer(chat_session: Session) -> str:
    """Who has changed the session's review last, as far as the log tells."""
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(Session),
        object_id=str(chat_session.pk),
        change_message__startswith=_REVIEW,
    )
    last = entries.select_related("user").order_by("-action_time", "-pk").first()
    return last.user.get_username() if last else "Somebody"


def _log(chat_session: Session, by: User, message: str) -> None:
    LogEntry.objects.log_actions(by.pk, [chat_session], CHANGE, message, single_object=True)
