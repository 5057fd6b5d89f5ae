"""The files of deploy/, judged by the tools and schemas of what reads them."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def needs(module: str) -> pytest.MarkDecorator:
    found = importlib.util.find_spec(module)
    return pytest.mark.skipif(found is None, reason=f"{module} is not installed")


def judged(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def compose_is_valid(path: Path) -> "subprocess.CompletedProcess[str]":
    schema = ["--builtin-schema", "vendor.compose-spec"]
    return judged(sys.executable, "-m", "check_jsonschema", *schema, path)


def manifest_is_valid(path: Path) -> "subprocess.CompletedProcess[str]":
    script = "from kubernetes_validate.__main__ import main; main()"
    return judged(sys.executable, "-c", script, "--strict", path)


@needs("check_jsonschema")
def test_the_compose_file(tmp_path: Path) -> None:
    path = DEPLOY / "compose.yaml"
    done = compose_is_valid(path)
    assert done.returncode == 0, done.stdout + done.stderr

    broken = tmp_path / "compose.yaml"
    broken.write_text(path.read_text().replace("stop_grace_period", "stop_grace"))
    assert compose_is_valid(broken).returncode != 0


@needs("kubernetes_validate")
@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_kubernetes_manifests(path: Path, tmp_path: Path) -> None:
    done = manifest_is_valid(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout + done.stderr

    broken = tmp_path / path.name
    broken.write_text(path.read_text().replace("metadata:", "metadatas:"))
    assert manifest_is_valid(broken).returncode != 0


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")
def test_the_systemd_units(tmp_path: Path) -> None:
    # What they start has to exist, in /srv/chat-sessions, which is not on this machine.
    home = tmp_path / "srv"
    (home / ".venv").mkdir(parents=True)
    (home / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    units = tmp_path / "units"
    units.mkdir()
    for unit in UNITS:
        text = unit.read_text()
        (units / unit.name).write_text(text.replace("/srv/chat-sessions", str(home)))
    done = judged("systemd-analyze", "verify", *sorted(units.iterdir()))
    assert (done.returncode, done.stderr) == (0, "")

    web = units / "chat-sessions-web.service"
    web.write_text(web.read_text().replace("bin/uvicorn", "bin/no-such-server"))
    assert judged("systemd-analyze", "verify", web).returncode != 0


def test_whoever_stops_a_web_process_waits_longer_than_it_takes() -> None:
    graceful = r"--timeout-graceful-shutdown[\", ]+(\d+)"
    container = _number(graceful, DEPLOY / "Containerfile")
    assert _number(r"&web\n(?:.*\n)*?  stop_grace_period: (\d+)s", DEPLOY / "compose.yaml") > (
        container
    )
    web = DEPLOY / "kubernetes" / "web.yaml"
    sleep = _number(r"command: \[sleep, \"(\d+)\"\]", web)
    assert _number(r"terminationGracePeriodSeconds: (\d+)", web) > container + sleep
    unit = DEPLOY / "systemd" / "chat-sessions-web.service"
    assert _number(r"TimeoutStopSec=(\d+)", unit) > _number(graceful, unit)


def test_whoever_stops_a_worker_waits_longer_than_it_takes() -> None:
    graceful = r"--shutdown-graceful-timeout[\", ]+(\d+)"
    for name, pattern in {
        "compose.yaml": r"  worker:\n(?:.*\n)*?    stop_grace_period: (\d+)s",
        "kubernetes/worker.yaml": r"terminationGracePeriodSeconds: (\d+)",
        "systemd/chat-sessions-worker@.service": r"TimeoutStopSec=(\d+)",
    }.items():
        assert _number(pattern, DEPLOY / name) > _number(graceful, DEPLOY / name), name


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes/worker.yaml"])
def test_probe_of_a_worker_looks_at_the_file_that_it_touches(name: str, tmp_path: Path) -> None:
    text = (DEPLOY / name).read_text()
    touched = re.search(r"WORKER_HEARTBEAT_FILE(?:, value)?: (/tmp/[\w-]+)", text)
    probes = set(re.findall(r"(?:-c|CMD-SHELL), (find .*?)\]", text))
    assert touched
    [probe] = {command.replace(touched[1], str(tmp_path / "heartbeat")) for command in probes}

    def is_alive() -> bool:
        return judged("sh", "-c", probe).returncode == 0

    assert not is_alive()
    (tmp_path / "heartbeat").touch()
    assert is_alive()
    os.utime(tmp_path / "heartbeat", (time.time() - 100,) * 2)
    assert not is_alive()


def _number(pattern: str, path: Path) -> int:
    found = re.search(pattern, path.read_text())
    assert found, f"{pattern} in {path.name}"
    return int(found[1])
