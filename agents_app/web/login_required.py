"""The `login_required` of the chat pages: what is sent to those who are not logged in."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse

from agents_app.web.accounts.forms import LoginForm
from agents_app.web.http import chat_url, is_script, redirect

View = Callable[..., HttpResponseBase]


def login_required(view: View) -> View:
    """Ask visitors to log in, and bring them back afterwards.

    A script gets 401 with the login's URL. A message that was sent stays in the login form until it
    is back in the composer: nothing is stored for visitors. After any other form, and after a link
    on a page that only users see, the login page says that the session has expired.
    """

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **ids: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **ids)
        return _ask_to_log_in(request, **ids)

    return wrapper


def _ask_to_log_in(request: HttpRequest, **ids: Any) -> HttpResponse:
    if is_script(request):
        error = {"error": "You are no longer logged in.", "login": reverse("login")}
        return JsonResponse(error, status=HTTPStatus.UNAUTHORIZED)
    page = _page_after_login(request, **ids)
    if request.method in {"GET", "HEAD"}:
        if _comes_from_users_page(request):
            return _redirect_as_expired(page)
        return redirect_to_login(page)
    if text := request.POST.get("text"):
        others = {name: request.POST.get(name, "") for name in ("agent", "writer")}
        form = LoginForm(initial={"text": text, **others}, request=request)
        return _login_page(request, form, next_url=page)
    return _redirect_as_expired(page)


def _page_after_login(request: HttpRequest, **ids: Any) -> str:
    """What was requested, or the page with the form or the download, which is no page itself."""
    name = request.resolver_match.url_name if request.resolver_match else None
    if name == "chats-export":
        return reverse("chats-all")
    if request.method in {"GET", "HEAD"} and name != "chat-export":
        return request.get_full_path()
    return chat_url(ids["session_id"]) if "session_id" in ids else request.path


def _comes_from_users_page(request: HttpRequest) -> bool:
    """Whether a link on this site led here; visitors' pages link to the first page only."""
    is_own_link = request.headers.get("Sec-Fetch-Site") == "same-origin"
    return is_own_link and request.get_full_path() != reverse("chats")


def _redirect_as_expired(next_url: str) -> HttpResponse:
    return redirect(f"{reverse('login')}?{urlencode({'expired': 'on', 'next': next_url})}")


def _login_page(request: HttpRequest, form: LoginForm, *, next_url: str) -> HttpResponse:
    """The login page in place of the one that was requested."""
    context = {
        "form": form,
        "redirect_field_value": next_url,
        "sends_email": settings.SENDS_EMAIL,
        "sign_up": settings.SIGN_UP,
    }
    return render(request, "account/login.html", context)
