"""Settings from the environment: what is wrong with a value is said in one line."""

import os
import secrets
import subprocess
import sys

import pytest

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


def test_deployment_checks_have_nothing_to_say() -> None:
    done = run("manage.py", "check", "--deploy", "--fail-level", "INFO")
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


@pytest.mark.parametrize("model", ["gpt-4", "foo:bar"])
def test_deployment_checks_find_a_model_that_does_not_exist(model: str) -> None:
    done = run("manage.py", "check", "--deploy", AGENT_MODEL=model)
    assert done.returncode == 1
    assert "(agents_app.E001) AGENT_MODEL:" in done.stderr


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set"),
        ({"SECRET_KEY": None, "DEBUG": None}, "SECRET_KEY is not set"),
        ({"DEBUG": "maybe"}, "DEBUG='maybe' is not on or off"),
        ({"DATABASE_URL": "mysql://localhost/x"}, "DATABASE_URL starts with 'mysql'"),
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL starts with 'nonsense'"),
        ({"CLEANUP_ARCHIVE_DAYS": "-1"}, "CLEANUP_ARCHIVE_DAYS='-1' is not a whole number"),
        ({"CLEANUP_ARCHIVE_DAYS": "a month"}, "CLEANUP_ARCHIVE_DAYS='a month'"),
        ({"AGENT_BASE_URL": "http://localhost:99x/v1"}, "AGENT_BASE_URL cannot be read"),
        ({"AGENT_BASE_URL": "http://localhost:999999/v1"}, "AGENT_BASE_URL cannot be read"),
        ({"AGENT_API_KEY": "schlüssel"}, "AGENT_API_KEY holds characters"),
        ({"AGENT_TOKEN_LIMIT": "8192"}, "AGENT_TOKEN_LIMIT=8192 leaves no room"),
    ],
)
@pytest.mark.parametrize(
    "entry",
    [["manage.py", "cleanup_sessions"], ["-c", "import config.asgi"]],
    ids=["manage", "asgi"],
)
def test_bad_values(entry: list[str], environment: dict[str, str], complaint: str) -> None:
    done = run(*entry, **environment)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
