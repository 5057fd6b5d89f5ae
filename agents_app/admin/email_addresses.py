"""The admin page of e-mail addresses: django-allauth's, with our permission checks."""

from typing import Any

from allauth.account import admin as allauth_admin
from allauth.account.models import EmailAddress
from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import ForeignKey
from django.http import HttpRequest

from sessions_app.admin.shared import PermittedFieldsAdmin, may_view

admin.site.unregister(EmailAddress)


@admin.register(EmailAddress)
class EmailAddressAdmin(PermittedFieldsAdmin, allauth_admin.EmailAddressAdmin):
    """E-mail addresses, their users, and whether they are verified."""

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        """Use a number field, without a link to the user list, for those who may not view users."""
        if not may_view(request, User):
            options["widget"] = forms.NumberInput
        return super().formfield_for_foreignkey(db_field, request, **options)
