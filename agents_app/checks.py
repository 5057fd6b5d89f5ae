"""System checks: what is wrong with the settings, said before somebody chats."""

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
    """AGENT_MODEL must mean a model, if it is set.

    Asks no network. It imports the agent library, and so belongs to `check --deploy` and the
    start of the web server, not to every command.
    """
    try:
        check_model_string(settings.AGENT_MODEL)
    except ValidationError as error:
        return [Error(f"AGENT_MODEL: {' '.join(error.messages)}", id="agents_app.E001")]
    return []
