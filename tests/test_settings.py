"""Settings from the environment: a bad value is a one-line error."""

import os
import secrets
import subprocess
import sys
from urllib.parse import quote

import pytest
from django.db import connection

from tests.conftest import ROOT

PRODUCTION = {
    "DEBUG": "off",
    "HTTPS": "on",
    "SECRET_KEY": secrets.token_urlsafe(50),
    "ALLOWED_HOSTS": "chat.example.org",
    "DATABASE_URL": "sqlite://:memory:",
    "DJANGO_SETTINGS_MODULE": "config.settings",
}


def run(*arguments: str, **environment: str | None) -> "subprocess.CompletedProcess[str]":
    """Run Python with production values, changed (or, with None, left out) as given."""
    variables = {**os.environ, **PRODUCTION, **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


def test_deployment_checks_find_no_problem() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "INFO")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("model", ["gpt-4", "foo:bar"])
def test_deployment_checks_find_an_invalid_model(model: str) -> None:
    done = run("manage.py", "check", "--deploy", AGENT_MODEL=model)
    assert done.returncode == 1
    assert "(agents_app.E001) AGENT_MODEL:" in done.stderr


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"ANSWERS_IN": "workers"}, "ANSWERS_IN=workers needs PostgreSQL"),
        ({"ANSWERS_IN": "elsewhere"}, "ANSWERS_IN='elsewhere' is not web or workers"),
        ({"CLEANUP_SCHEDULE": "0 3 * * *"}, "CLEANUP_SCHEDULE needs PostgreSQL"),
        ({"CLEANUP_SCHEDULE": "at three"}, "CLEANUP_SCHEDULE='at three' is not a schedule"),
        ({"CLEANUP_OLDER_THAN": "a while"}, "CLEANUP_OLDER_THAN: 'a while' is not an age"),
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": None, "DEBUG": None}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": "x"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "short-but-random-9Zq4"}, "SECRET_KEY is too easy to guess"),
        ({"SECRET_KEY": "password" * 8}, "SECRET_KEY is too easy to guess"),
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must not contain “*”"),
        ({"ALLOWED_HOSTS": "chat.example.org, *"}, "ALLOWED_HOSTS must not contain “*”"),
        ({"DEBUG": "maybe"}, "DEBUG='maybe' is not on or off"),
        ({"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL starts with 'mysql'"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL starts with 'nonsense'"),
        ({"DATABASE_URL": "sqlite:db.sqlite3"}, "DATABASE_URL starts with 'sqlite'"),
        ({"DATABASE_URL": "sqlite://db.sqlite3"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql:db"}, "DATABASE_URL starts with 'postgresql'"),
        ({"DATABASE_URL": "postgresql://host"}, "DATABASE_URL names no database"),
        ({"DATABASE_URL": "postgresql://u@[::1/db"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://u@host:port/db"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://u:pa/ss@host/db"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_URL": "postgresql://u@host/db?nonsense=1"}, "DATABASE_URL cannot be read"),
        ({"DATABASE_DIRECT_URL": "nonsense"}, "DATABASE_DIRECT_URL is not a URL such as"),
        ({"DATABASE_DIRECT_URL": "postgresql://u:pa/ss@h/d"}, "DATABASE_DIRECT_URL cannot be"),
        ({"CLEANUP_ARCHIVE_DAYS": "-1"}, "CLEANUP_ARCHIVE_DAYS='-1' is not a whole number"),
        ({"CLEANUP_ARCHIVE_DAYS": "a month"}, "CLEANUP_ARCHIVE_DAYS='a month'"),
        ({"AGENT_BASE_URL": "http://localhost:99x/v1"}, "AGENT_BASE_URL cannot be read"),
        ({"AGENT_BASE_URL": "http://localhost:999999/v1"}, "AGENT_BASE_URL cannot be read"),
        ({"AGENT_API_KEY": "schlüssel"}, "AGENT_API_KEY contains characters"),
        ({"METRICS_TOKEN": "schlüssel"}, "METRICS_TOKEN contains characters"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT='xml' is not line or json."),
        ({"AGENT_TOKEN_LIMIT": "8192"}, "AGENT_TOKEN_LIMIT=8192 leaves no room"),
    ],
)
@pytest.mark.parametrize(
    "entry",
    [["manage.py", "cleanup_sessions"], ["-c", "import config.asgi"]],
    ids=["manage", "asgi"],
)
def test_bad_values(entry: list[str], environment: dict[str, str], problem: str) -> None:
    done = run(*entry, **environment)
    assert done.returncode == 1
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert all(value not in done.stderr for value in _secrets(environment))


def _secrets(environment: dict[str, str]) -> list[str]:
    """Values that no error may repeat, except a key of one letter, which any text contains."""
    key = environment.get("SECRET_KEY") or ""
    return [key] * (len(key) > 1) + ["pa/ss", "'pa'"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp+tls://ana:p%40ss@mail.example.org:587", "mail.example.org 587 ana p@ss True"),
        ("smtp://localhost:25", "localhost 25   False"),
    ],
)
def test_mail_goes_to_the_server_that_the_url_names(url: str, expected: str) -> None:
    program = (
        "import django; django.setup(); from django.core import mail;"
        "to = mail.mailers.default if hasattr(mail, 'mailers') else mail.get_connection();"
        "print(to.host, to.port, to.username or '', to.password or '', bool(to.use_tls))"
    )
    done = run("-W", "error", "-c", program, EMAIL_URL=url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == expected


def test_development_takes_any_key_and_any_host() -> None:
    done = run("manage.py", "check", DEBUG="on", SECRET_KEY="x", ALLOWED_HOSTS="*")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="PostgreSQL's socket")
@pytest.mark.django_db(transaction=True)
def test_the_host_may_be_the_folder_of_a_socket() -> None:
    settings = connection.settings_dict
    folder = settings["HOST"] or settings["OPTIONS"].get("host", "")
    if not folder.startswith("/"):
        pytest.skip("the tests' server has no socket")
    login = quote(settings["USER"])
    if settings["PASSWORD"]:
        login += f":{quote(settings['PASSWORD'])}"
    url = f"postgresql://{login}@{quote(folder, safe='')}/{settings['NAME']}"
    done = run("manage.py", "migrate", "--check", DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
