"""The examples of README's section "From programs", run as printed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import User

from agents_app.models import Agent
from sessions_app.models import Session
from tests.conftest import database_url
from tests.model_server import ToldModel
from tests.serving import ROOT

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl"),
]


def examples(served: str) -> list[str]:
    """The section's indented blocks, with the address of the test server."""
    section = (ROOT / "README.md").read_text().partition("### From programs\n")[2]
    section = section.partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    unindented = [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]
    return [block.replace("http://127.0.0.1:8000", served) for block in unindented]


def run(script: str, *interpreter: str, **variables: str) -> str:
    """Run a script; returns its output. `python` is that of this environment."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "on",
        **variables,
    }
    done = subprocess.run(
        [*interpreter, script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_example(served: str, model: ToldModel, user: User, agent: Agent) -> None:
    make_key, curl, openai_client = examples(served)
    key = run(f'{make_key}\nprintf %s "$KEY"', "bash", "-c")
    assert key.startswith("cs_")

    for _ in range(2):
        model.will_say("Hi there!")
        answer = json.loads(run(curl, "bash", "-c", KEY=key))
        assert (answer["message"], answer["success"]) == ("Hi there!", True)
        named = Session.objects.get()
        assert (named.name, named.user, str(named.pk)) == ("first", user, answer["session_id"])

    model.will_say("Hi again!")
    printed = run(openai_client, sys.executable, "-c", KEY=key)
    made = Session.objects.exclude(pk=named.pk).get()
    assert printed.strip() == f"Hi again! {made.pk}"
