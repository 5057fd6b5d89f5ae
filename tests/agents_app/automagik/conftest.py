"""Sources to import: the sample, a small chat, and live Automagik databases."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents_app.models import Agent
from tests.agents_app.automagik import databases
from tests.agents_app.automagik.databases import SAMPLE, write_export
from tests.agents_app.automagik.helpers import ANSWERED, ASKED, CHAT


@pytest.fixture(scope="session")
def server() -> str:
    return databases.server_url()


@pytest.fixture(scope="module", params=["uuid", "integer"])
def live_sample(request: pytest.FixtureRequest, server: str) -> Iterator[str]:
    """A live Automagik database with the sample, once with each type of user ids."""
    with databases.live_database(server, user_id=request.param) as url:
        yield url


@pytest.fixture
def live(server: str) -> Iterator[str]:
    """A live Automagik database without any rows."""
    with databases.live_database(server, sample=False) as url:
        yield url


@pytest.fixture
def simple_agent() -> Agent:
    """The agent that the migrations create; another test may have emptied the tables."""
    return Agent.objects.get_or_create(name="simple", defaults={"description": "ours"})[0]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A copy of the sample export, for tests that change it."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "export"))


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """The smallest export: one user, one agent, one chat of two messages."""
    return write_export(
        tmp_path / "export",
        users=[{"id": "7", "email": "eva@example.org", "created_at": "2026-01-01 10:00:00+00"}],
        agents=[{"id": "1", "name": "guide", "type": "simple", "active": "t"}],
        sessions=[
            {
                "id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "name": "Trip",
                "platform": "web",
                "created_at": "2026-01-02 10:00:00+00",
                "updated_at": "2026-01-02 11:00:00+00",
            }
        ],
        messages=[
            {
                "id": ASKED,
                "session_id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "role": "user",
                "text_content": "Where to?\nAnd when?",
                "created_at": "2026-01-02 10:00:01+00",
            },
            {
                "id": ANSWERED,
                "session_id": CHAT,
                "user_id": "7",
                "agent_id": "1",
                "role": "assistant",
                "text_content": "Lisbon, in May.",
                "created_at": "2026-01-02 10:00:02+00",
            },
        ],
    )
