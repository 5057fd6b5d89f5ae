"""The Containerfile's steps, in order, in a fresh folder: what they install serves the product.

What is not tried here: the base image, its Debian packages, the user, and the layers.
"""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.concurrency.helpers import wait_until
from tests.conftest import ROOT
from tests.pooler import free_port, wait_for_port

pytestmark = [
    pytest.mark.skipif("CI" not in os.environ, reason="takes a minute: CI runs it"),
    pytest.mark.skipif(
        os.environ.get("TEST_DATABASE", "sqlite") != "sqlite", reason="runs once, with SQLite"
    ),
]

# They change the machine, not the folder.
SYSTEM_COMMANDS = ("apt-get", "useradd")


def instructions() -> Iterator[tuple[str, str]]:
    """The Containerfile's instructions, with their continuation lines."""
    text = (ROOT / "deploy" / "Containerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, rest.strip()


@dataclass
class Image:
    """What the steps have made."""

    folder: Path
    variables: dict[str, str]
    command: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    root = tmp_path_factory.mktemp("image")
    venv.create(root / "python", with_pip=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    path = f"{root / 'python' / 'bin'}:{os.environ['PATH']}"
    built = Image(root, {**kept, "PATH": path, "HOME": str(root)})
    for name, rest in instructions():
        match name:
            case "FROM" | "USER" | "EXPOSE":
                pass
            case "ENV":
                built.variables |= dict(part.split("=", 1) for part in shlex.split(rest))
            case "WORKDIR":
                built.folder = root / rest.removeprefix("/")
                built.folder.mkdir()
            case "COPY":
                source, target = rest.split()
                _copy(ROOT / source, built.folder / target)
            case "RUN" if rest.startswith(SYSTEM_COMMANDS):
                pass
            case "RUN":
                _run(built, ["sh", "-ec", rest])
            case "CMD":
                built.command = json.loads(rest)
            case "HEALTHCHECK":
                built.healthcheck = json.loads(rest[rest.index("CMD ") + 4 :])
            case _:
                raise AssertionError(f"What does {name} do?")
    return built


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _run(image: Image, command: list[str], **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=image.folder,
        env=image.variables | variables,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _succeeds(image: Image, command: list[str]) -> bool:
    done = subprocess.run(
        command, cwd=image.folder, env=image.variables, capture_output=True, check=False
    )
    return done.returncode == 0


def test_the_static_files_are_collected(image: Image) -> None:
    assert (image.folder / "staticfiles" / "agents_app" / "chat.css").is_file()
    assert (image.folder / "staticfiles" / "admin").is_dir()


def test_no_key_is_left_in_it(image: Image) -> None:
    assert "SECRET_KEY" not in image.variables
    assert not list(image.folder.rglob(".env"))
    assert not list(image.folder.rglob("*.sqlite3"))


def test_it_serves_and_its_health_check_tells(image: Image) -> None:
    port = str(free_port())
    variables = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "ALLOWED_HOSTS": "chat.example.org",
        "AGENT_MODEL": "local",
        "DATABASE_URL": f"sqlite:///{image.folder.parent / 'db.sqlite3'}",
    }
    _run(image, ["python", "manage.py", "migrate", "-v0"], **variables)
    assert image.command[image.command.index("--port") + 1] == "8000"
    command = [port if part == "8000" else part for part in image.command]
    check = [part.replace(":8000/", f":{port}/") for part in image.healthcheck]
    assert check != image.healthcheck
    process = subprocess.Popen(
        [shutil.which(command[0], path=image.variables["PATH"]) or "", *command[1:]],
        cwd=image.folder,
        env=image.variables | variables,
        stdin=subprocess.DEVNULL,
    )
    try:
        wait_for_port(int(port), process, seconds=60)
        # An engine repeats it, too, within the start period.
        wait_until(lambda: _succeeds(image, check))
    finally:
        process.terminate()
        process.wait(timeout=60)
    with pytest.raises(AssertionError, match="Connection refused"):
        _run(image, check)


def test_the_python_is_the_folders(image: Image) -> None:
    where = _run(image, ["python", "-c", "import django; print(django.__file__)"])
    assert str(image.folder.parent) in where
    assert str(image.folder.parent) not in sys.prefix
