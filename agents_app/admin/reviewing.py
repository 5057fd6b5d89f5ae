"""The review of a session on its page: verdict, note, flag, reviewed, and keep."""

from collections.abc import Mapping
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect

from sessions_app.admin.shared import ModelAdmin
from sessions_app.models import Review, Session
from sessions_app.review.decisions import ReviewedMeanwhile, keep_session, review_session
from sessions_app.writing import SessionGone

NOTE_LENGTH = 5_000  # characters
_YES_NO = {"yes": True, "no": False}


def may_review(request: HttpRequest) -> bool:
    """Whether the user may judge, flag and keep sessions."""
    return request.user.has_perm("sessions_app.review_session")


class YesNoField(forms.TypedChoiceField):
    """True, False, or None if it was not posted."""

    def __init__(self) -> None:
        choices = [(word, word) for word in _YES_NO]
        super().__init__(required=False, choices=choices, coerce=_YES_NO.get, empty_value=None)


class ReviewForm(forms.Form):
    """What a button of the review panel posts; values that are not posted stay unchanged."""

    verdict = forms.ChoiceField(
        required=False, choices=[*Review.Verdict.choices, ("none", "no verdict")]
    )
    note = forms.CharField(required=False, max_length=NOTE_LENGTH, widget=forms.Textarea)
    # The values that the page showed: another reviewer may have changed them since.
    shown_verdict = forms.CharField(required=False, widget=forms.HiddenInput)
    shown_note = forms.CharField(required=False, widget=forms.HiddenInput)
    flagged = YesNoField()
    reviewed = YesNoField()
    keep = YesNoField()
    # The session to open next.
    next = forms.UUIDField(required=False)

    def changes(self) -> dict[str, Any]:
        """Return the arguments for `review_session`."""
        data = self.cleaned_data
        verdict, note = data["verdict"], _unix(data["note"])
        is_edited = "note" in self.data and note != _unix(data["shown_note"])
        return {
            "verdict": {"": None, "none": ""}.get(verdict, verdict),
            "note": note if is_edited else None,
            "flagged": data["flagged"],
            # The button that opens the next session also marks this one as reviewed.
            "reviewed": True if data["next"] else data["reviewed"],
            "shown": {
                name: _unix(data[f"shown_{name}"])
                for name in ("verdict", "note")
                if f"shown_{name}" in self.data
            },
        }


def _unix(text: str) -> str:
    """Convert the line endings that forms post to those that are stored."""
    return text.replace("\r\n", "\n").strip()


def change_review(model_admin: ModelAdmin, request: HttpRequest, object_id: str) -> HttpResponse:
    """Save a button's changes, and redirect to the page or to the next session."""
    if not (may_review(request) and model_admin.has_view_or_change_permission(request)):
        raise PermissionDenied
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    chat_session: Session | None = model_admin.get_object(request, unquote(object_id))
    form = ReviewForm(request.POST)
    if chat_session is None:
        return _gone(model_admin, request)
    if not form.is_valid():
        errors = " ".join(str(error) for found in form.errors.values() for error in found)
        model_admin.message_user(request, f"Nothing was saved. {errors}", messages.ERROR)
        return _back(request, object_id)
    user = cast("User", request.user)  # never anonymous in the admin
    changes = form.changes()
    try:
        reviewed = review_session(chat_session, by=user, **changes)
        keep = form.cleaned_data["keep"]
        marked = keep is not None and keep_session(chat_session, by=user, keep=keep)
    except SessionGone:
        return _gone(model_admin, request)
    except ReviewedMeanwhile as conflict:
        model_admin.message_user(request, _both(conflict, changes), messages.ERROR)
        return _back(request, object_id)
    if reviewed:
        model_admin.message_user(request, "The review was saved.", messages.SUCCESS)
    if marked:
        done = "Marked keep: cleanups will not remove it." if keep else "No longer marked keep."
        model_admin.message_user(request, done, messages.SUCCESS)
    following = form.cleaned_data["next"]
    return _back(request, str(following or object_id), stay=following is None)


def _both(conflict: ReviewedMeanwhile, given: Mapping[str, Any]) -> str:
    """Describe both reviews, so that neither is lost."""
    values = " ".join(
        f"{name.capitalize()}: {_said(name, stored)} by {conflict.by}, "
        f"{_said(name, given[name])} by you."
        for name, stored in conflict.stored.items()
    )
    return f"Nothing was saved: {conflict.by} reviewed this session in the meantime. {values}"


def _said(field: str, value: str) -> str:
    if not value:
        return "none"
    return str(Review.Verdict(value).label) if field == "verdict" else f"“{value}”"


def _gone(model_admin: ModelAdmin, request: HttpRequest) -> HttpResponse:
    message = "Nothing was saved: the session has been deleted."
    model_admin.message_user(request, message, messages.ERROR)
    return redirect("admin:sessions_app_session_changelist")


def _back(request: HttpRequest, object_id: str, *, stay: bool = True) -> HttpResponse:
    """Redirect to a session's page, with the same place in the conversation and the same list."""
    query = request.GET.copy()
    if not stay:
        filters = query.get("_changelist_filters", "")
        query.clear()
        if filters:
            query["_changelist_filters"] = filters
    response = redirect("admin:sessions_app_session_change", object_id)
    if query:
        response["Location"] += f"?{query.urlencode()}"
    return response
