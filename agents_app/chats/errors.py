"""What the use-cases of chats raise. Every error's text tells the user what to do."""


class ChatError(Exception):
    """What a user asked for cannot be done; the text says why."""


class AgentUnavailable(ChatError):
    """There is no such agent, or it is switched off."""

    def __init__(self, text: str = "This agent is not available; choose another one.") -> None:
        super().__init__(text)


class AgentChosen(ChatError):
    """The session has another active agent, and keeps it."""


class AlreadyAnswering(ChatError):
    """The session has an active run."""


class AlreadyUsed(ChatError):
    """The message id belongs to another message: another text, chat or agent."""


class NotRetryable(ChatError):
    """The answer is not one that can be retried or continued, or the chat has continued since."""


class VersionUnavailable(ChatError):
    """It is not a version of anything that the chat shows now."""


class ChatNotFound(ChatError):
    """There is no such session, run or message, or it belongs to another user."""


class ChatTrashed(ChatNotFound):
    """The session is in its user's trash."""


class InvalidMessage(ChatError):
    """The text is blank, too long, or holds what cannot be stored."""


class InvalidName(ChatError):
    """The name is blank, too long, or holds what cannot be stored."""
