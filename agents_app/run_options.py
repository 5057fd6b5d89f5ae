"""Options that a client may set for a single run; stored with it, for whichever worker answers."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class RunOptions:
    """Each overrides the agent's own value; None keeps it."""

    system_prompt: str | None = None
    # How many messages of the conversation the model is sent, not counting the system prompt.
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
