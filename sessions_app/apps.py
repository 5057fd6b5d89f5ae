"""Django's registration of the app."""

from django.apps import AppConfig


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "Conversations"

    def ready(self) -> None:
        # Django imports `admin` only, whose modules register the models.
        from sessions_app.admin import (  # noqa: F401
            access_logs,
            cleanup_runs,
            users,
        )
