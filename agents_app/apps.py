"""Django's registration of the app."""

from django.apps import AppConfig
from django.core.checks import register


class AgentsAppConfig(AppConfig):
    name = "agents_app"
    verbose_name = "Agents and runs"

    def ready(self) -> None:
        # Autodiscovery imports only the package, which imports none of its modules.
        from agents_app.admin import (  # noqa: F401
            agents,
            api_keys,
            email_addresses,
            feedback,
            messages,
            runs,
            sessions,
        )
        from agents_app.checks import check_agent_model

        register(check_agent_model, deploy=True)
