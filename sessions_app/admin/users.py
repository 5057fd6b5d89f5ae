"""The admin pages of users and groups: Django's, with the checks that all lists here have."""

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User

from sessions_app.admin.shared import CheckedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(CheckedAdmin, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """The accounts."""


@admin.register(Group)
class GroupAdmin(CheckedAdmin, auth_admin.GroupAdmin):
    """The groups."""
