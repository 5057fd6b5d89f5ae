"""Django's registration of the app."""

from django.apps import AppConfig
from django.core.checks import register


class AgentsAppConfig(AppConfig):
    name = "agents_app"
    verbose_name = "Agents and runs"

    def ready(self) -> None:
        # Autodiscovery imports only the package, which imports none of its modules.
        from agents_app.admin import accounts, agents, api_keys, feedback, runs, sessions  # noqa: F401
        from agents_app.checks import check_agent_model

        register(check_agent_model, deploy=True)
