"""The rows that were selected in a list, for the page of an action to post again."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import PAGE_VAR
from django.http import HttpRequest


@dataclass(frozen=True)
class PostedSelection:
    """The selected rows; a form with `url` and `fields` selects the same rows again."""

    query: str  # the list's filters, without the page number: that page may no longer exist
    ticked: list[str]
    is_across_pages: bool  # whether all rows of the list are selected; `ticked` is then meaningless
    url: str
    fields: list[tuple[str, str]]

    @classmethod
    def from_request(cls, request: HttpRequest, action: str) -> PostedSelection:
        """Return the selection that was posted for this action."""
        parameters = request.GET.copy()
        parameters.pop(PAGE_VAR, None)
        query = parameters.urlencode()
        across = request.POST.get("select_across", "0") not in {"", "0"}
        ticked = request.POST.getlist(ACTION_CHECKBOX_NAME)
        return cls(
            query=query,
            ticked=ticked,
            is_across_pages=across,
            url=f"{request.path}?{query}" if query else request.path,
            fields=[
                ("action", action),
                ("select_across", str(int(across))),
                # Django requires one selected row even if all are selected.
                *((ACTION_CHECKBOX_NAME, key) for key in (ticked[:1] if across else ticked)),
            ],
        )
