"""Drives the admin as a browser without JavaScript does: reads a page, presses its buttons."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from django.contrib.auth.models import Permission, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from sessions_app.models import Message

LIST = "/admin/sessions_app/session/"
ACTION = "remove_empty_sessions"


def staff(name: str, *permissions: str) -> User:
    """A staff member with these permissions (`view_session`, …)."""
    user = User.objects.create_user(name, password="secret", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def log_in(user: User) -> Client:
    """A logged-in browser; it checks CSRF, as real ones are checked."""
    client = Client(enforce_csrf_checks=True)
    page = Page.of(client, "/admin/login/")
    page.forms[0].fields += [("username", user.username), ("password", "secret")]
    page.press(None)
    return client


def change_url(row: Model) -> str:
    """The page of one row."""
    name = f"{row._meta.app_label}_{row._meta.model_name}"
    return reverse(f"admin:{name}_change", args=[row.pk])


def message_url(message: Message) -> str:
    """Where a message is shown in its conversation."""
    return f"{change_url(message.session)}?message={message.pk}#m{message.position}"


@dataclass
class Form:
    """A form's action and what it would send, buttons apart."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """One page of the admin, with the messages, forms and elements on it."""

    def __init__(self, client: Client, response: Any) -> None:
        super().__init__()
        self.client = client
        self.status = response.status_code
        self.url: str = response.request["PATH_INFO"]
        if query := response.request["QUERY_STRING"]:
            self.url += f"?{query}"
        self.headers = response.headers
        self.html = response.content.decode()
        self.text = ""
        self.messages: list[str] = []
        self.forms: list[Form] = []
        self.links: list[str] = []
        self.problems: list[str] = []  # what the content security policy would block
        self._open: list[str] = []
        self._in_messages = self._unspoken = False
        self.feed(self.html)

    @classmethod
    def of(cls, client: Client, url: str, data: Any = None) -> "Page":
        """The page at which one arrives, after all redirects."""
        if data is None:
            return cls(client, client.get(url, follow=True))
        return cls(client, client.post(url, data, follow=True, headers={"referer": url}))

    def press(self, button: str | None, form: Form | None = None, **changes: Any) -> "Page":
        """Press the button of that name, on the form that has it."""
        form = form or next(
            form for form in self.forms if button is None or button in dict(form.buttons)
        )
        data: dict[str, list[str]] = {}
        for name, value in form.fields:
            data.setdefault(name, []).append(value)
        if button is not None:
            data[button] = [dict(form.buttons)[button]]
        data.update(changes)
        url = urljoin(self.url, form.action)
        if form.method == "get":
            return Page(self.client, self.client.get(url, data, follow=True))
        return Page.of(self.client, url, data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._open.append(tag)
        self.problems += [f"<{tag} {name}>" for name in values if name.startswith(("on", "style"))]
        self._unspoken = tag in {"script", "style"}
        if tag == "style" or (tag == "script" and "src" not in values):
            self.problems.append(f"<{tag}>")
        if tag == "ul" and values.get("class") == "messagelist":
            self._in_messages = True
        elif tag == "li" and self._in_messages:
            self.messages.append("")
        elif tag == "a":
            self.links.append(values.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(values.get("method", "get").lower(), values.get("action", "")))
        elif tag in {"input", "button"} and self.forms and "name" in values:
            self._control(tag, values)

    def _control(self, tag: str, values: dict[str, str]) -> None:
        named = (values["name"], values.get("value", ""))
        if tag == "button" or values.get("type") == "submit":
            self.forms[-1].buttons.append(named)
        elif values.get("type") not in {"checkbox", "radio"} or "checked" in values:
            self.forms[-1].fields.append(named)

    def handle_endtag(self, tag: str) -> None:
        self._unspoken = False
        if tag == "ul":
            self._in_messages = False

    def handle_data(self, data: str) -> None:
        if self._unspoken:
            return
        self.text = f"{self.text} {' '.join(data.split())}".strip()
        if self._in_messages and self.messages:
            self.messages[-1] = f"{self.messages[-1]} {' '.join(data.split())}".strip()


def choose(client: Client, *ticked: Any, url: str = LIST, across: bool = False) -> Page:
    """Tick rows of the list, or all across pages, choose the removal, and press Go."""
    page = Page.of(client, url)
    return page.press(
        "index",
        action=ACTION,
        select_across=str(int(across)),
        _selected_action=[str(chat_session.pk) for chat_session in ticked],
    )
