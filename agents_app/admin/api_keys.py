"""The admin pages of API keys, which are created, listed and revoked there."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import ngettext

from agents_app.accounts import api_keys
from agents_app.models import ApiKey, Scope
from sessions_app.admin.shared import PermittedFieldsAdmin, time_field

_DELETING_USERS = ("auth_user_delete", "auth_user_changelist")


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such subscript
    """Creates an API key."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=[Scope.CHAT, Scope.READ],
        widget=forms.CheckboxSelectMultiple,
    )
    key = ""  # set when it has been created

    class Meta:
        model = ApiKey
        fields = ("user", "name", "scopes", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(PermittedFieldsAdmin):
    """API keys: owners, scopes, and when they were last used."""

    form = ApiKeyForm
    list_display = ("name_or_prefix", "user", "scope_list", "last_used", "expires", "revoked")
    list_select_related = ("user",)
    list_per_page = 50
    show_full_result_count = False
    sortable_by = ()
    ordering = ("-created_at", "id")
    search_fields = ("name", "prefix", "user__username")
    raw_id_fields = ("user",)  # there may be too many for a list of choices
    actions = ("revoke",)
    fields_revealing = {User: ("user",)}
    fieldsets = ((None, {"fields": ("user", "name", "scopes", "expires_at")}),)

    shows_times = True
    empty_list_hint = "Programs need one to use the API."
    last_used = time_field("last_used_at")
    expires = time_field("expires_at")
    revoked = time_field("revoked_at")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only on the pages that delete users: a key is revoked, or deleted with its user."""
        page = request.resolver_match.url_name if request.resolver_match else None
        return page in _DELETING_USERS and super().has_delete_permission(request, obj)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Requires the permission to change: revoking is the only change."""
        return request.user.has_perm("agents_app.change_apikey")

    @admin.display(description="key")
    def name_or_prefix(self, key: ApiKey) -> str:
        return str(key)

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.action(permissions=["revoke"], description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = 0
        for key in queryset:
            if api_keys.revoke_key(key):
                self.log_change(request, key, "Revoked.")
                revoked += 1
        self.message_user(
            request,
            f"Revoked {revoked:,} {ngettext('API key', 'API keys', revoked)}.",
            messages.SUCCESS,
        )

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        row, key = api_keys.create_key(
            obj.user, name=obj.name, scopes=obj.scopes, expires_at=obj.expires_at
        )
        obj.pk, obj.prefix = row.pk, row.prefix
        request.new_api_key = key  # type: ignore[attr-defined]  # only for this response

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key, which no other page does."""
        context = {
            **self.admin_site.each_context(request),
            "title": "New API key",
            "opts": self.opts,
            "owner": obj.user,
            "key": request.new_api_key,  # type: ignore[attr-defined]
        }
        return TemplateResponse(request, "admin/agents_app/apikey/created.html", context)
