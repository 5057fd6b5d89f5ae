"""The admin pages of messages; the list shows answers without their markup."""

from django.contrib import admin

from agents_app.web.message_entries import plain_line
from sessions_app.admin.messages import BaseMessageAdmin
from sessions_app.models import Message


@admin.register(Message)
class MessageAdmin(BaseMessageAdmin):
    """Messages, which staff can search by words."""

    def as_line(self, text: str, role: str) -> str:
        return plain_line(text, role)
