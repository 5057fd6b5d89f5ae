"""The admin page of one session: its conversation, as the chat shows it."""

from django.contrib import admin

from agents_app.admin.session_filters import FeedbackFilter
from sessions_app.admin.sessions import BaseSessionAdmin
from sessions_app.models import Session


@admin.register(Session)
class SessionAdmin(BaseSessionAdmin):
    """Where staff review sessions."""

    list_filter = (
        *BaseSessionAdmin.list_filter[:6],
        FeedbackFilter,
        *BaseSessionAdmin.list_filter[6:],
    )
