"""Reads settings from the environment and says in one line what is wrong with a value."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

T = TypeVar("T")

# Options of a PostgreSQL connection that Django takes for itself.
_DJANGO_OPTIONS = {"assume_role", "isolation_level", "pool", "server_side_binding"}
_SECRET_LENGTH, _SECRET_CHARACTERS = 32, 9  # at least; how many of them differ

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

    def secret(self, name: str) -> str:
        """A long random value that must be set; the complaint does not repeat what was."""
        value: str = self.str(name, default="")
        if not value:
            raise ImproperlyConfigured(
                f"{name} is not set. Set it to a long random value, "
                "or set DEBUG=on on a development machine."
            )
        if len(value) < _SECRET_LENGTH or len(set(value)) < _SECRET_CHARACTERS:
            raise ImproperlyConfigured(
                f"{name} is too easy to guess. Set it to a random value of at least "
                f"{_SECRET_LENGTH} characters, or set DEBUG=on on a development machine."
            )
        return value

    def hosts(self, name: str) -> list[str]:
        """Names of hosts, separated by commas; not every host there is."""
        hosts = [host.strip() for host in self.list(name, default=[])]
        if any("*" in host for host in hosts):
            raise ImproperlyConfigured(
                f"{name} must not hold “*”. List the site's host names; "
                ".example.org stands for a domain and all below it."
            )
        return hosts

    def database(self, name: str, *, default: str) -> dict[str, Any]:
        """A Django database definition from a URL; SQLite and PostgreSQL only."""
        url = self.str(name, default=default)
        scheme, separator, rest = url.partition("://")
        if scheme == "sqlite" and separator:
            if rest not in {"", ":memory:"} and not rest.startswith("/"):
                raise ImproperlyConfigured(
                    f"{name} cannot be read: a path follows sqlite:///, an absolute one sqlite:////"
                )
            return self._parsed(name, lambda: self.db_url_config(url))
        if scheme in {"postgres", "postgresql"} and separator:
            return self._postgres(name, url)
        raise ImproperlyConfigured(
            f"{name} starts with {scheme.partition(':')[0]!r}: use sqlite:///path or postgresql://…"
        )

    def _postgres(self, name: str, url: str) -> dict[str, Any]:
        from psycopg import Error
        from psycopg.conninfo import make_conninfo

        try:
            config: dict[str, Any] = self.db_url_config(url)
        except Exception:
            # What a part was mistaken for may be a piece of the password.
            raise ImproperlyConfigured(
                f"{name} cannot be read: use postgresql://user:password@host:port/name, "
                "with %-escapes for :/?#@ in the password."
            ) from None
        # A folder of sockets is written with escapes, as libpq has it.
        config["HOST"] = unquote(config["HOST"])
        options = config.get("OPTIONS", {})
        if not config["NAME"] and "service" not in options:
            raise ImproperlyConfigured(f"{name} names no database: use postgresql://host/name")
        try:
            make_conninfo(**{key: options[key] for key in options.keys() - _DJANGO_OPTIONS})
        except Error as error:
            raise ImproperlyConfigured(f"{name} cannot be read: {str(error).strip()}") from error
        return config

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
