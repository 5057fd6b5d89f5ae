"""The theme of the chat pages, also of those without a user: the login and the error pages.

For these, a cookie has the theme of the user who was last logged in.
"""

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agents_app.models import Preferences, Theme

_COOKIE = "theme"
_YEAR = 365 * 24 * 60 * 60  # seconds


def theme_of(user: object) -> str:
    """The theme that the user has chosen."""
    preferences: Preferences | None = getattr(user, "preferences", None)
    return preferences.theme if preferences else Theme.SYSTEM


def theme_of_visitor(request: HttpRequest) -> str:
    """The theme for a page without a user."""
    theme = request.COOKIES.get(_COOKIE, "")
    return theme if theme in Theme.values else Theme.SYSTEM


def remember_theme(response: HttpResponseBase, theme: str) -> None:
    """Keep the theme for the pages without a user."""
    response.set_cookie(
        _COOKIE,
        theme,
        max_age=_YEAR,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
