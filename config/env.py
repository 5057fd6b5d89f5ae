"""Reads settings from the environment and says in one line what is wrong with a value."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

T = TypeVar("T")

_TRUE = {"1", "true", "on", "yes", "y"}
_FALSE = {"0", "false", "off", "no", "n", ""}


class StrictEnv(Env):
    """An `environ.Env` that refuses values it cannot read instead of guessing.

    Every method raises ImproperlyConfigured with the variable's name, the value
    found and what would be accepted.
    """

    def flag(self, name: str, *, default: bool) -> bool:
        """An on/off value; `environ` itself reads every unknown word as off."""
        text = self.str(name, default="on" if default else "off").strip().lower()
        if text not in _TRUE | _FALSE:
            raise ImproperlyConfigured(f"{name}={text!r} is not on or off.")
        return text in _TRUE

    def number(self, name: str, *, default: int, minimum: int = 0) -> int:
        """A whole number of at least `minimum`."""
        text = self.str(name, default=str(default)).strip()
        if not text.isascii() or not text.isdigit() or int(text) < minimum:
            raise ImproperlyConfigured(
                f"{name}={text!r} is not a whole number of at least {minimum}."
            )
        return int(text)

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """A Django database definition from a URL; SQLite and PostgreSQL only."""
        url = self.str(name, default=default)
        scheme = url.partition(":")[0]
        if scheme not in {"sqlite", "postgres", "postgresql"}:
            raise ImproperlyConfigured(
                f"{name} starts with {scheme!r}: use sqlite:///path or postgresql://…"
            )
        return self._parsed(name, lambda: self.db_url_config(url))

    def http_url(self, name: str, *, default: str) -> str:
        """An http or https URL without a login in it: URLs end up in logs and in messages."""
        url: str = self.str(name, default=default).strip()
        if url:
            parts = self._parsed(name, lambda: urlsplit(url))
            self._parsed(name, lambda: parts.port)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ImproperlyConfigured(f"{name} is not a URL such as http://localhost:8080/v1.")
            if "@" in parts.netloc:
                raise ImproperlyConfigured(f"{name} must not hold a user name or a password.")
        return url

    def token(self, name: str) -> str:
        """A secret that is sent in a header of HTTP; empty when there is none."""
        value: str = self.str(name, default="").strip()
        if not value.isascii() or not value.isprintable():
            raise ImproperlyConfigured(f"{name} holds characters that no key has.")
        return value

    @staticmethod
    def _parsed(name: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except Exception as error:
            raise ImproperlyConfigured(f"{name} cannot be read: {error}") from error
