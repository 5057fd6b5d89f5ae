"""django-allauth's adapter: this site's texts, clients' addresses, redirects, and the theme."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from agents_app.web.theme import remember_theme, theme_of

_WRONG = "Enter a correct username and password. Your e-mail address works as the username, too."


class AccountAdapter(DefaultAccountAdapter):
    """django-allauth's adapter with this site's texts and settings."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        # The same text, whichever of them was wrong.
        "username_password_mismatch": _WRONG,
        "email_password_mismatch": _WRONG,
        "too_many_login_attempts": "Too many failed attempts. Wait a few minutes and try again.",
        "incorrect_password": "This is not your password.",
        "enter_current_password": "This is not your password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGN_UP)

    def get_client_ip(self, request: HttpRequest) -> str:
        """The client that rate limits count; behind a socket without TRUST_PROXY, all are one."""
        try:
            return str(super().get_client_ip(request))
        except PermissionDenied:  # there is no address
            return "unknown"

    def post_login(
        self, request: HttpRequest, user: AbstractBaseUser, **options: Any
    ) -> HttpResponse:
        response: HttpResponse = super().post_login(request, user, **options)
        remember_theme(response, theme_of(user))
        return response

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account-settings")
