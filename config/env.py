"""Reads settings from the environment, with a one-line error for a bad value."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import django
from django.core.exceptions import ImproperlyConfigured
from environ import Env

from sessions_app.management.arguments import age

T = TypeVar("T")

# Connection options that Django handles itself; libpq does not know them.
_DJANGO_OPTIONS = {"assume_role", "isolation_level", "pool", "server_side_binding"}
_MIN_SECRET_LENGTH, _MIN_DISTINCT_CHARACTERS = 32, 9

_TRUE = {"1", "true", "on", "yes", "y"}
_FALSE = {"0", "false", "off", "no", "n", ""}

# The names of mail settings as options in MAILERS.
_MAIL_OPTIONS = {
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
    "EMAIL_FILE_PATH": "file_path",
}


def mail_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The result of StrictEnv.email as the installed Django reads it: as MAILERS since 6.1."""
    if django.VERSION < (6, 1):
        return config
    options = {option: config[name] for name, option in _MAIL_OPTIONS.items() if config.get(name)}
    return {"MAILERS": {"default": {"BACKEND": config["EMAIL_BACKEND"], "OPTIONS": options}}}


class StrictEnv(Env):
    """An `environ.Env` that rejects values it cannot parse instead of guessing.

    Every method raises ImproperlyConfigured with the variable's name and what would be accepted;
    the message quotes the value unless it may be secret.
    """

    def flag(self, name: str, *, default: bool) -> bool:
        """An on/off value; `environ` itself treats every unknown word as off."""
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

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of a few words; the first is the default."""
        text: str = self.str(name, default=choices[0]).strip().lower()
        if text not in choices:
            raise ImproperlyConfigured(f"{name}={text!r} is not {' or '.join(choices)}.")
        return text

    def age(self, name: str) -> timedelta | None:
        """A length of time such as 12h or 30d; None when it is not set."""
        text: str = self.str(name, default="").strip()
        try:
            return age(text) if text else None
        except ArgumentTypeError as error:
            raise ImproperlyConfigured(f"{name}: {error}.") from None

    def cron(self, name: str) -> str:
        """A schedule in cron's notation, such as `0 3 * * *`; empty when it is not set."""
        text: str = self.str(name, default="").strip()
        if text:
            from croniter import croniter

            if not croniter.is_valid(text):
                raise ImproperlyConfigured(f"{name}={text!r} is not a schedule such as 0 3 * * *.")
        return text

    def secret(self, name: str) -> str:
        """A long random value that must be set; errors do not quote it."""
        value: str = self.str(name, default="")
        if not value:
            raise ImproperlyConfigured(
                f"{name} is not set. Set it to a long random value, "
                "or set DEBUG=on on a development machine."
            )
        if len(value) < _MIN_SECRET_LENGTH or len(set(value)) < _MIN_DISTINCT_CHARACTERS:
            raise ImproperlyConfigured(
                f"{name} is too easy to guess. Set it to a random value of at least "
                f"{_MIN_SECRET_LENGTH} characters, or set DEBUG=on on a development machine."
            )
        return value

    def hosts(self, name: str) -> list[str]:
        """Host names separated by commas, without wildcards."""
        hosts = [host.strip() for host in self.list(name, default=[])]
        if any("*" in host for host in hosts):
            raise ImproperlyConfigured(
                f"{name} must not contain “*”. List the site's host names; "
                ".example.org covers a domain and its subdomains."
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
            # The error's text may contain a part of the password.
            raise ImproperlyConfigured(
                f"{name} cannot be read: use postgresql://user:password@host:port/name, "
                "with %-escapes for :/?#@ in the password."
            ) from None
        # A socket's folder is percent-encoded, as in libpq's URLs.
        config["HOST"] = unquote(config["HOST"])
        options = config.get("OPTIONS", {})
        if not config["NAME"] and "service" not in options:
            raise ImproperlyConfigured(f"{name} names no database: use postgresql://host/name")
        try:
            make_conninfo(**{key: options[key] for key in options.keys() - _DJANGO_OPTIONS})
        except Error as error:
            raise ImproperlyConfigured(f"{name} cannot be read: {str(error).strip()}") from error
        return config

    def direct_url(self, name: str) -> str:
        """The URL of a PostgreSQL database, as libpq reads it; empty when it is not set."""
        url: str = self.str(name, default="").strip()
        if url and not url.startswith(("postgres://", "postgresql://")):
            raise ImproperlyConfigured(f"{name} is not a URL such as postgresql://user@host/name.")
        if url:
            self._postgres(name, url)
        return url

    def cache(self, name: str, *, default: str) -> dict[str, Any]:
        """A Django cache definition from a URL; errors do not quote it, in case of a password."""
        try:
            config: dict[str, Any] = self.cache_url_config(self.str(name, default=default))
        except Exception:
            config = {}
        if not config:
            raise ImproperlyConfigured(
                f"{name} cannot be read: use dbcache://table or redis://host:6379/0"
            )
        if config["BACKEND"].endswith(".DatabaseCache"):
            # Django's default limit of 300 would drop entries that are still needed.
            config["OPTIONS"] = {"MAX_ENTRIES": 10_000, **config.get("OPTIONS", {})}
        return config

    def email(self, name: str, *, default: str) -> dict[str, Any]:
        """Django's settings for sending mail from a URL; empty when it is not set."""
        url: str = self.str(name, default=default).strip()
        if not url:
            return {}
        try:
            config: dict[str, Any] = self.email_url_config(url)
        except Exception:
            raise ImproperlyConfigured(
                f"{name} cannot be read: use smtp+tls://user:password@host:587, "
                "with %-escapes for :/?#@ in the password."
            ) from None
        return config

    def http_url(self, name: str, *, default: str) -> str:
        """An http or https URL without credentials, since URLs end up in logs and messages."""
        url: str = self.str(name, default=default).strip()
        if url:
            parts = self._parsed(name, lambda: urlsplit(url))
            self._parsed(name, lambda: parts.port)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise ImproperlyConfigured(f"{name} is not a URL such as http://localhost:8080/v1.")
            if "@" in parts.netloc:
                raise ImproperlyConfigured(f"{name} must not contain a user name or a password.")
        return url

    def token(self, name: str) -> str:
        """A secret that is sent in an HTTP header; empty when unset."""
        value: str = self.str(name, default="").strip()
        if not value.isascii() or not value.isprintable():
            raise ImproperlyConfigured(f"{name} contains characters that no key has.")
        return value

    @staticmethod
    def _parsed(name: str, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except Exception as error:
            raise ImproperlyConfigured(f"{name} cannot be read: {error}") from error
