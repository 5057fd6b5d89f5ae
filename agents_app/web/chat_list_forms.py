"""The forms of the lists of chats: where a page begins, and what to do with chats."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from agents_app.web.chat_lists import MOST_SIDEBAR_CHATS, Cursor
from agents_app.web.forms import DAMAGED


class CursorField(forms.Field):
    """The entry after which a page of a list begins; None for the first page."""

    def to_python(self, value: Any) -> Cursor | None:
        try:
            return Cursor.parse(value) if value else None
        except ValueError:
            raise ValidationError("There is no such place in the list.") from None


class MomentField(forms.Field):
    """A time as `isoformat` writes it, to the microsecond."""

    def to_python(self, value: Any) -> datetime | None:
        try:
            moment = datetime.fromisoformat(value) if value else None
        except ValueError:
            raise ValidationError(DAMAGED) from None
        if moment is not None and timezone.is_naive(moment):
            raise ValidationError(DAMAGED)
        return moment


class IdsField(forms.Field):
    """The ids of the selected chats."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[UUID]:
        try:
            return [UUID(text) for text in value or []]
        except ValueError:
            raise ValidationError(DAMAGED) from None


class ListForm(forms.Form):
    """Where a page of a list begins."""

    after = CursorField(required=False)


class SidebarForm(ListForm):
    """The chats of the sidebar: how many, and which one is shown beside it."""

    count = forms.IntegerField(required=False, min_value=1, max_value=MOST_SIDEBAR_CHATS)
    current = forms.UUIDField(required=False)


class TrashRestoreForm(forms.Form):
    """When the chats to restore were moved to the trash."""

    trashed_at = MomentField(error_messages={"required": DAMAGED})


class BulkForm(forms.Form):
    """The selected chats, and what to do with them."""

    action = forms.ChoiceField(
        choices=[(name, name) for name in ("delete", "pin", "unpin")],
        error_messages={"required": DAMAGED, "invalid_choice": DAMAGED},
    )
    chats = IdsField(error_messages={"required": "Select the chats first."})
