"""What the structure of the code promises."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
AGENT_LIBRARIES = {"pydantic_ai", "xllamacpp", "openai", "anthropic"}


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts)


def imported(path: Path) -> Iterator[str]:
    """The top-level names of the packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", modules("sessions_app"), ids=lambda path: path.stem)
def test_sessions_app_knows_nothing_of_agents(path: Path) -> None:
    assert not {"agents_app", *AGENT_LIBRARIES} & set(imported(path))


@pytest.mark.parametrize(
    "path",
    [path for folder in ("config", "sessions_app", "agents_app") for path in modules(folder)],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_modules_say_what_lives_there_and_stay_readable(path: Path) -> None:
    source = path.read_text()
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), "the first lines say what lives there"
    assert source.count("\n") <= 400
