"""The admin's pages: where staff review sessions, and remove the phantom ones."""

from django.contrib import admin

from sessions_app.admin import messages, runs, sessions, users

__all__ = ["messages", "runs", "sessions", "users"]

admin.site.site_header = admin.site.site_title = "Chat sessions"
admin.site.index_title = "Administration"
