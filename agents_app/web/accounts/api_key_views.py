"""The page of a user's API keys."""

from datetime import timedelta
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from agents_app.accounts import api_keys
from agents_app.models import ApiKey
from agents_app.web.accounts.forms import NewKeyForm
from agents_app.web.http import current_user, redirect
from agents_app.web.login_required import login_required


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_variables("key")
def keys(request: HttpRequest) -> HttpResponse:
    """The user's keys; posting creates one, which is shown only in this response."""
    user = current_user(request)
    form = NewKeyForm(request.POST or None)
    key = ""
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["days"]
        _, key = api_keys.create_key(
            user,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=timezone.now() + timedelta(days=days) if days else None,
        )
        form = NewKeyForm()
    found = ApiKey.objects.filter(user=user, revoked_at=None).order_by("-created_at", "pk")
    return render(request, "account/keys.html", {"form": form, "keys": found, "new_key": key})


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, key_id: UUID) -> HttpResponse:
    """Asks for confirmation; posted, revokes one of the user's keys."""
    key = get_object_or_404(ApiKey, user=current_user(request), pk=key_id)
    if request.method != "POST":
        return render(request, "account/key_revoke.html", {"key": key})
    api_keys.revoke_key(key)
    messages.success(request, f"Revoked “{key.name or key.prefix}”.")
    return redirect(reverse("account-keys"))
