"""The options of a single run, which a client may set. Stored with it: any worker knows them."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class RunOptions:
    """Each replaces the agent's own value; None keeps that."""

    system_prompt: str | None = None
    # How many messages of the conversation, beside the system prompt, the model is sent.
    message_limit: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None

    def as_json(self) -> dict[str, Any] | None:
        """The values that are set; None without any."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        return values or None

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> Self:
        return cls(**(values or {}))


NO_OPTIONS = RunOptions()
