"""The admin's pages of users and groups: Django's, with what all lists here have in common."""

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User

from sessions_app.admin.base import CheckedAdmin

admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(CheckedAdmin, auth_admin.UserAdmin):  # type: ignore[type-arg]
    """Who can log in."""


@admin.register(Group)
class GroupAdmin(CheckedAdmin, auth_admin.GroupAdmin):
    """Rights that several users have."""
