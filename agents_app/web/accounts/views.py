"""The account pages that are not django-allauth's own."""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from allauth.account import views as allauth_views
from allauth.decorators import rate_limit
from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import REDIRECT_FIELD_NAME, logout, update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from agents_app.accounts import self_service
from agents_app.chats.validation import MESSAGE_LENGTH
from agents_app.models import Preferences
from agents_app.web.accounts.forms import (
    LoginForm,
    PasswordForm,
    PreferencesForm,
    ThemeForm,
)
from agents_app.web.http import current_user, redirect
from agents_app.web.login_required import login_required
from agents_app.web.theme import remember_theme
from agents_app.web.unsent_message import keep_unsent_message


class _EmailContext:
    """Tells the template whether the site sends e-mail."""

    def get_context_data(self, **context: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().get_context_data(**context)  # type: ignore[misc]
        return {**data, "sends_email": settings.SENDS_EMAIL, "sign_up": settings.SIGN_UP}


class LoginView(_EmailContext, allauth_views.LoginView):
    """django-allauth's, which keeps a message that was sent after the login had expired."""

    def form_valid(self, form: LoginForm) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        text = form.cleaned_data["text"]
        if self.request.user.is_authenticated and 0 < len(text) <= MESSAGE_LENGTH:
            path = urlsplit(response["Location"]).path
            fields = {name: form.cleaned_data[name] for name in ("agent", "writer")}
            keep_unsent_message(self.request, path=path, text=text, **fields)
        return response


class PasswordResetView(_EmailContext, allauth_views.PasswordResetView):
    """django-allauth's, or whom to ask if the site sends no e-mail."""


class EmailView(_EmailContext, allauth_views.EmailView):
    """The e-mail address, which is changed once the new one is confirmed."""

    def form_valid(self, form: forms.Form) -> HttpResponse:
        self_service.trust_given_address(user=current_user(self.request))
        response: HttpResponse = super().form_valid(form)
        return response


login = LoginView.as_view()


@never_cache
def admin_login(request: HttpRequest) -> HttpResponseBase:
    """Sends visitors to the site's login, and users without access to the admin to an error."""
    if request.method == "POST":
        response: HttpResponseBase = login(request)
        return response
    next_url = request.GET.get(REDIRECT_FIELD_NAME, "")
    if not url_has_allowed_host_and_scheme(next_url, {request.get_host()}):
        next_url = reverse("admin:index")
    if not request.user.is_authenticated:
        return redirect_to_login(next_url)
    if not request.user.is_staff:
        raise PermissionDenied
    return redirect(next_url)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def account_settings(request: HttpRequest) -> HttpResponse:
    user = current_user(request)
    stored = getattr(user, "preferences", Preferences())
    if request.method != "POST":
        initial = {"display_name": stored.display_name, "theme": stored.theme}
        return _settings_page(request, PreferencesForm(initial=initial))
    form = PreferencesForm(request.POST)
    if not form.is_valid():
        return _settings_page(request, form)
    self_service.save_preferences(user=user, **form.cleaned_data)
    messages.success(request, "Saved.")
    response = redirect(reverse("account-settings"))
    remember_theme(response, form.cleaned_data["theme"])
    return response


@login_required
@never_cache
@require_http_methods(["POST"])
def choose_theme(request: HttpRequest) -> HttpResponse:
    """The theme chosen with the admin's switch; without JavaScript, the settings have a form."""
    form = ThemeForm(request.POST)
    if not form.is_valid():
        raise BadRequest("There is no such theme.")
    theme = form.cleaned_data["theme"]
    self_service.choose_theme(user=current_user(request), theme=theme)
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    remember_theme(response, theme)
    return response


def _settings_page(request: HttpRequest, form: PreferencesForm) -> HttpResponse:
    return render(request, "account/settings.html", {"form": form}, status=_status(form))


@login_required
@never_cache
@sensitive_post_parameters()
@rate_limit(action="reauthenticate")
@require_http_methods(["GET", "HEAD", "POST"])
def end_logins(request: HttpRequest) -> HttpResponse:
    """Log out everywhere else."""
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = current_user(request)
        try:
            self_service.end_logins(user=user, password=form.cleaned_data["password"])
        except self_service.AccountError as error:
            form.add_error("password", str(error))
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "You are logged out everywhere else.")
            return redirect(reverse("account-settings"))
    return render(request, "account/end_logins.html", {"form": form}, status=_status(form))


@login_required
@never_cache
@sensitive_post_parameters()
@rate_limit(action="reauthenticate")
@require_http_methods(["GET", "HEAD", "POST"])
def delete_account(request: HttpRequest) -> HttpResponse:
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            self_service.delete_account(
                user=current_user(request), password=form.cleaned_data["password"]
            )
        except self_service.AccountError as error:
            form.add_error("password", str(error))
        else:
            logout(request)
            messages.success(request, "Your account and your chats have been deleted.")
            return redirect(reverse("login"))
    return render(request, "account/delete.html", {"form": form}, status=_status(form))


def _status(form: forms.Form) -> HTTPStatus:
    return HTTPStatus.BAD_REQUEST if form.errors else HTTPStatus.OK
