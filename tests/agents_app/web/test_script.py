"""The pages' script: small native modules whose imports go one way, and resolve when served."""

import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.core.management import call_command

FOUND = finders.find("agents_app/chat.js")
assert isinstance(FOUND, str)
ENTRY = Path(FOUND).resolve()
MODULES = sorted(ENTRY.parent.rglob("*.js"))
IMPORT = re.compile(r'^(?:import .*|\} )from "(\.\.?/[\w./]+)";$', re.MULTILINE)
ON_DEMAND = re.compile(r'\bimport\("(\.\.?/[\w./]+)"\)')
NAMES = re.compile(r'^import \{([^}]*)\} from "(\.\.?/[\w./]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|const|let|class) (\w+)", re.MULTILINE)
LOADED = re.compile(r"agents_app/(?:admin/)?\w+\.js")
TEMPLATES = "".join(
    path.read_text()
    for app in ("agents_app", "sessions_app")
    for path in (ENTRY.parents[3] / app / "templates").rglob("*.html")
)


def imports(path: Path) -> list[Path]:
    return _resolved(path, IMPORT)


def loads(path: Path) -> list[Path]:
    """What the module imports, at once or when it is needed."""
    return imports(path) + _resolved(path, ON_DEMAND)


def _resolved(path: Path, pattern: re.Pattern[str]) -> list[Path]:
    return [(path.parent / name).resolve() for name in pattern.findall(path.read_text())]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_say_what_they_hold_and_stay_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("// ")
    assert len(lines) <= 250


def test_imports_go_one_way() -> None:
    graph = {path: loads(path) for path in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(graph), "every import exists"
    used = {name.removeprefix("agents_app/") for name in LOADED.findall(TEMPLATES)}
    used |= {str(path.relative_to(ENTRY.parent)) for found in graph.values() for path in found}
    assert used == {str(path.relative_to(ENTRY.parent)) for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_what_is_imported_is_exported(path: Path) -> None:
    text = path.read_text()
    for names, module in NAMES.findall(text):
        exported = set(EXPORT.findall((path.parent / module).read_text()))
        wanted = {name.strip() for name in names.split(",") if name.strip()}
        assert wanted <= exported, module
    assert len(NAMES.findall(text)) == len(imports(path))


PLAIN = "django.contrib.staticfiles.storage.StaticFilesStorage"
MANIFEST = "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"
HASHED = "config.static.HashedStorage"


@pytest.mark.parametrize("storage", [PLAIN, MANIFEST, HASHED])
def test_imports_resolve_in_the_collected_files(
    tmp_path: Path, settings: Any, storage: str
) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = settings.STORAGES | {"staticfiles": {"BACKEND": storage}}
    call_command("collectstatic", interactive=False, verbosity=0)
    collected = list((tmp_path / "agents_app").rglob("*.js"))
    assert len(collected) >= len(MODULES)
    for path in collected:
        for imported in loads(path):
            assert imported.is_file(), f"{path.name} imports {imported.name}"
