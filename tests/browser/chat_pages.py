"""Every page of the chat, and a chat with several of everything to show on them."""

import uuid

from django.contrib.auth.models import User
from django.utils import timezone

from agents_app.models import Agent, AgentRun, Feedback
from sessions_app.models import Message, Session
from tests.agents_app.chats import answered, failed
from tests.factories import make_session, say

# The queries to open each page with, by URL name.
PAGES = {
    "chats": ["", "?q=nowhere", "?q=said", "?q=several"],
    "chats-all": [""],
    "chats-all-delete": [""],
    "chats-trash": [""],
    "chats-trash-empty": [""],
    "chat": ["", "?before=5", "?after=3", "?at=3#m3", "?all=on"],
    "chat-rename": [""],
    "chat-delete": [""],
    "chat-delete-forever": [""],
    "chat-edit": [""],
}

# URLs that redirect, take posts, stream, or return a fragment or a download.
NO_PAGES = {
    *("home", "chat-send", "chat-stop", "chat-retry", "chat-continue", "chat-events"),
    *("chat-regenerate", "chat-version", "chat-feedback", "chat-source"),
    *("chats-sidebar", "chats-restore", "chats-trash-restore", "chat-pin", "chat-restore"),
    *("chat-export", "chats-export", "agent-starters", "agent-picture"),
}


def ids_for(name: str, chat_session: Session) -> dict[str, uuid.UUID]:
    """The ids in a page's URL."""
    if name.startswith("chats"):
        return {}
    if name == "chat-delete-forever":
        return {"session_id": Session.objects.trashed().earliest("pk").pk}
    ids = {"session_id": chat_session.pk}
    if name == "chat-edit":
        ids["message_id"] = chat_session.messages.filter(role="user").earliest("position").pk
    return ids


ANSWER = """# Plan

Some **words**, a [link](https://example.org), [another](https://example.org/2) and `code`.

### Steps

1. Said once
2. Said twice

- [ ] to do
- [x] done

| a | b |
|:--|--:|
| 1 | 2 |

| c | d |
|---|---|
| 3 | 4 |

```python
print("a line that is far too long for a narrow window, so that it has to be scrolled sideways")
```

```
more code
```

> Said elsewhere.

> Said there, too.

![picture](https://example.org/a.png) ~~struck~~ $x^2$ and $y$

$$\\int x$$
"""


def full_chat(user: User, agent: Agent) -> Session:
    """A chat with several of everything, among other chats, some pinned or in the trash."""
    for number in range(3):
        name = f"Several chats, {number}"
        make_session(user=user, agent=agent, name=name, pinned_at=timezone.now())
        make_session(user=user, name=name, trashed_at=timezone.now())
        answered(user, name)
    chat_session = answered(user, "Several questions?\nWhat was said?", ANSWER)
    for number in range(3):
        question = say(chat_session, f"And {number}?", user=user)
        version = {"version_of": question.pk, "set_aside_with": uuid.uuid4()}
        say(chat_session, f"Or {number}?", user=user, **version)
        call = {"tool_name": "weather", "tool_call_id": str(number)}
        say(chat_session, "", role="assistant", tool_calls=[call, call], agent=agent)
        say(chat_session, "Sunny", role="tool", tool_outputs=[call], agent=agent)
        run = _finished_run(chat_session, question, agent)
        answer = say(chat_session, f"Said {number}.", role="assistant", agent=agent, run=run)
        Feedback.objects.create(message=answer, user=user, is_good=bool(number), reason="So.")
        other = _finished_run(chat_session, question, agent)
        aside = {"run": other, "set_aside_with": other.pk}
        say(chat_session, f"Said otherwise {number}.", role="assistant", agent=agent, **aside)
    failed_run = failed(user, "Several failures?")
    AgentRun.objects.filter(pk=failed_run.pk).update(
        session=chat_session, message=say(chat_session, "Once more?", user=user)
    )
    return chat_session


def _finished_run(chat_session: Session, question: Message, agent: Agent) -> AgentRun:
    ended = {"status": AgentRun.Status.DONE, "finished_at": timezone.now()}
    return AgentRun.objects.create(
        session=chat_session, message=question, agent=agent, user=chat_session.user, **ended
    )
