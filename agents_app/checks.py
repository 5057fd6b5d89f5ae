"""System checks of the settings for agents."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError

from agents_app.llm.model_strings import check_model_string


def check_agent_model(
    *, app_configs: Sequence[AppConfig] | None = None, **options: Any
) -> list[CheckMessage]:
    """AGENT_MODEL must name a usable model, if it is set. Needs no network.

    Imports the agent library, so it runs with `check --deploy` and at the start of the web
    server, not with every command.
    """
    try:
        check_model_string(settings.AGENT_MODEL)
    except ValidationError as error:
        return [Error(f"AGENT_MODEL: {' '.join(error.messages)}", id="agents_app.E001")]
    return []
