"""Saved filters of the session list. Each member of staff has their own."""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

from sessions_app.admin.shared import ModelAdmin, current_user
from sessions_app.models import SavedFilter

MAX_FILTERS = 50  # per member of staff
_LIST = "admin:sessions_app_session_changelist"
# The parameters that a saved filter may have: those of the list's links and forms. True if an empty
# value is significant.
PARAMETERS = {
    **dict.fromkeys(["removable", "messages", "outcome", "reviewed", "flagged"], False),
    **dict.fromkeys(["verdict", "feedback", "trash", "user", "said", SEARCH_VAR, ORDER_VAR], False),
    **dict.fromkeys(["agent__id__exact", "agent__isnull"], False),
    **dict.fromkeys(["created_at__gte", "created_at__lt"], False),
    **dict.fromkeys(["updated_at__gte", "updated_at__lt"], False),
    "platform": True,
}


def cleaned_query(parameters: QueryDict) -> str:
    """Return the part of a query string that can be saved, in a fixed order, without the page."""
    pairs = [(name, parameters[name]) for name in sorted(PARAMETERS) if name in parameters]
    return urlencode([(name, value) for name, value in pairs if value or PARAMETERS[name]])


class SavedFilterForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """A name, and the query string of the current list."""

    query = forms.CharField(max_length=4000)

    class Meta:
        model = SavedFilter
        fields = ("name", "query")

    def clean_query(self) -> str:
        parameters = QueryDict(self.cleaned_data["query"])
        if unknown := set(parameters) - set(PARAMETERS):
            raise ValidationError(f"The list has no filter {min(unknown)!r}.", code="unknown")
        query = cleaned_query(parameters)
        if not query:
            raise ValidationError("Choose a filter first.", code="empty")
        return query


class SavedFilters(ModelAdmin):
    """Adds views that save and delete filters, and the list's context for them."""

    def get_urls(self) -> list[URLPattern]:
        add = self.admin_site.admin_view(require_POST(self.save_filter_view))
        delete = self.admin_site.admin_view(require_POST(self.delete_filter_view))
        return [
            path("saved-filters/", add, name="sessions_app_session_savefilter"),
            path(
                "saved-filters/<int:filter_id>/delete/",
                delete,
                name="sessions_app_session_deletefilter",
            ),
            *super().get_urls(),
        ]

    def saved_filters_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the user's filters by name, the current query, and the form that saves it."""
        current = cleaned_query(request.GET)
        url = reverse(_LIST)
        return {
            "current_query": current,
            "save_filter_form": SavedFilterForm(),
            "saved_filters": [
                {
                    "pk": saved.pk,
                    "name": saved.name,
                    "url": f"{url}?{saved.query}",
                    "is_current": saved.query == current,
                }
                for saved in _filters_of(request).order_by("name")
            ],
        }

    def save_filter_view(self, request: HttpRequest) -> HttpResponse:
        """Save the posted query under the posted name, replacing a filter of the same name."""
        self._check(request)
        form = SavedFilterForm(request.POST)
        if not form.is_valid():
            reason = " ".join(str(error) for errors in form.errors.values() for error in errors)
            messages.error(request, f"The filter was not saved. {reason}")
            return _back(request)
        name, query = form.cleaned_data["name"], form.cleaned_data["query"]
        own = _filters_of(request)
        if own.count() >= MAX_FILTERS and not own.filter(name=name).exists():
            messages.error(request, f"Delete a filter first: you can save at most {MAX_FILTERS}.")
            return _back(request)
        _, created = SavedFilter.objects.update_or_create(
            user=current_user(request), name=name, defaults={"query": query}
        )
        verb = "saved" if created else "replaced"
        messages.success(request, f"The filter “{name}” was {verb}.")
        return _back(request)

    def delete_filter_view(self, request: HttpRequest, filter_id: int) -> HttpResponse:
        """Delete one of the user's filters."""
        self._check(request)
        deleted, _ = _filters_of(request).filter(pk=filter_id).delete()
        if deleted:
            messages.success(request, "The filter was deleted.")
        else:
            messages.warning(request, "You have no such filter.")
        return _back(request)

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _filters_of(request: HttpRequest) -> Any:
    return SavedFilter.objects.filter(user=request.user.pk)


def _back(request: HttpRequest) -> HttpResponse:
    """Redirect to the list with the posted query."""
    query = cleaned_query(QueryDict(request.POST.get("query", "")[:4000]))
    return redirect(f"{reverse(_LIST)}?{query}" if query else reverse(_LIST))
