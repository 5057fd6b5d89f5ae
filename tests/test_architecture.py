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


def functions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The functions of a module, by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node


def makes_sessions(node: ast.AST) -> bool:
    """Whether it builds Session objects, or inserts rows through its manager or by SQL."""
    inserts = {"create", "acreate", "bulk_create", "abulk_create", "get_or_create"}
    inserts |= {"aget_or_create", "update_or_create", "aupdate_or_create"}
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            called = ast.unparse(part.func)
            if called == "Session" or (
                called.startswith("Session.") and called.rpartition(".")[2] in inserts
            ):
                return True
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            statement = part.value.lower()
            if "insert into" in statement and '"sessions"' in statement:
                return True
    return False


def test_sessions_are_made_in_these_places_only() -> None:
    places = {
        f"{path.relative_to(ROOT)}:{name}"
        for folder in ("config", "sessions_app", "agents_app")
        for path in modules(folder)
        for name, node in functions(path)
        if makes_sessions(node)
    }
    assert places == {
        "agents_app/services.py:start_session",  # a person starts a chat
        "agents_app/history.py:_make_session",  # old callers ask for it explicitly
        "agents_app/automagik/loading.py:_read_session",  # an import
        "agents_app/automagik/loading.py:_store_sessions",
        "sessions_app/archive.py:_put_back",  # an undo
    }
