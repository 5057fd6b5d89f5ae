"""The admin pages of users and groups: Django's, with the checks of CheckedAdmin."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth import forms as auth_forms
from django.contrib.auth.models import Group, User
from django.http import HttpRequest

from sessions_app.admin.shared import CheckedAdmin

admin.site.unregister([User, Group])


class UserCreationForm(auth_forms.AdminUserCreationForm):  # type: ignore[type-arg]
    """Without autofocus: the admin's script gives the first field the focus.

    Where the script is quicker, Chromium reports that autofocus was blocked.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields[User.USERNAME_FIELD].widget.attrs.pop("autofocus", None)


@admin.register(User)
class UserAdmin(CheckedAdmin, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """User accounts."""

    add_form = UserCreationForm
    shows_times, lists_times = True, False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Also requires the permission to change: without it, Django's page responds with 403."""
        return super().has_add_permission(request) and self.has_change_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Leave out the password and the link to its page for users who may only view."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f != "password"]})
            for title, options in fieldsets
        ]


@admin.register(Group)
class GroupAdmin(CheckedAdmin, auth_admin.GroupAdmin):
    """Groups of users."""
