"""The admin page of e-mail addresses: django-allauth's, with the checks of all lists here."""

from allauth.account import admin as allauth_admin
from allauth.account.models import EmailAddress
from django.contrib import admin

from sessions_app.admin.shared import CheckedAdmin

admin.site.unregister(EmailAddress)


@admin.register(EmailAddress)
class EmailAddressAdmin(CheckedAdmin, allauth_admin.EmailAddressAdmin):
    """Which addresses belong to whom, and which of them are confirmed."""
