"""The admin page of e-mail addresses: django-allauth's, with the checks of all lists here."""

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
    """Which addresses belong to whom, and which of them are confirmed."""

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        """A number to type in, without the link to the list of users, for those who may not."""
        if not may_view(request, User):
            options["widget"] = forms.NumberInput
        return super().formfield_for_foreignkey(db_field, request, **options)
