"""The admin site: its name, the order of its sections, and its index page.

It is in this package because it depends on both apps.
"""

from typing import Any

from django.conf import settings
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import reverse

# The sections that staff use most; the others follow by name.
_FIRST = ("sessions_app", "agents_app")


class ConsoleSite(AdminSite):
    """Django's admin site, under the product's name."""

    site_header = site_title = settings.PRODUCT_NAME
    index_title = "Administration"

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Add the product's icon, and the URL that stores the theme, to every page's context."""
        return {
            **super().each_context(request),
            "site_icon": static("agents_app/icon.svg"),
            "theme_url": reverse("account-theme"),
        }

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Return the sections that the user may view, the most used ones first."""
        apps = super().get_app_list(request, app_label)
        return sorted(apps, key=lambda app: _rank(app["app_label"]))

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the dashboard to users who may view sessions, and Django's index to others."""
        response = super().index(request, extra_context)
        if request.user.has_perm("sessions_app.view_session"):
            # Imported here, since the modules of the admin pages import this site.
            from agents_app.admin.dashboard import build_dashboard

            response.template_name = "agents_app/admin/dashboard.html"
            context = {"title": "Dashboard", "dashboard": build_dashboard(request)}
            response.context_data = {**(response.context_data or {}), **context}
        return response


def _rank(app_label: str) -> int:
    return _FIRST.index(app_label) if app_label in _FIRST else len(_FIRST)
