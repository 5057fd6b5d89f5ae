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


def imports(path: Path) -> list[Path]:
    return [(path.parent / name).resolve() for name in IMPORT.findall(path.read_text())]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_modules_say_what_they_hold_and_stay_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("// ")
    assert len(lines) <= 250


def test_imports_go_one_way() -> None:
    graph = {path: imports(path) for path in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == set(graph), "every import exists, and every module is imported"
    assert order[-1] == ENTRY


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
        for imported in imports(path):
            assert imported.is_file(), f"{path.name} imports {imported.name}"
