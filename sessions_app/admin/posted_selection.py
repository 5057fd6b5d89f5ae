"""The rows that a list's form posted with an action, for the action's page to post again."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import PAGE_VAR
from django.http import HttpRequest


@dataclass(frozen=True)
class PostedSelection:
    """What was selected; `url` and `fields` are for a form that selects the same again."""

    query: str  # the list's filters, without the page number, which may not exist any more
    ticked: list[str]
    is_across_pages: bool  # all rows of the list; then `ticked` is meaningless
    url: str
    fields: list[tuple[str, str]]

    @classmethod
    def from_request(cls, request: HttpRequest, action: str) -> PostedSelection:
        """The selection for the action of that name."""
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
                # Django requires one selected row even when all are selected.
                *((ACTION_CHECKBOX_NAME, key) for key in (ticked[:1] if across else ticked)),
            ],
        )
