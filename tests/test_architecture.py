"""The structure of the code: layers, places of rules, declared dependencies."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from django.db.models import BigIntegerField, ForeignKey, GeneratedField

from agents_app.models import AgentRun
from sessions_app.models import CleanupRun, RemovedSession, Session

ROOT = Path(__file__).resolve().parent.parent
AGENT_LIBRARIES = {"pydantic_ai", "xllamacpp", "openai", "anthropic"}
WEB_LIBRARIES = {
    *("django.http", "django.shortcuts", "django.template", "django.urls", "django.views"),
    *("django.utils.html", "django.utils.safestring", "markdown_it", "nh3"),
}

# From the bottom up. A module imports from its own part and from lower layers only: neither
# from a higher one, nor from another part of its layer.
LAYERS = [
    [
        *("sessions_app.storable", "sessions_app.displayable", "sessions_app.time_conversion"),
        *("sessions_app.run_statuses", "sessions_app.keyset", "sessions_app.tool_columns"),
        *("sessions_app.database_errors", "sessions_app.search", "sessions_app.streamed_files"),
        "sessions_app.ages",
    ],
    ["sessions_app.querysets", "sessions_app.cleanup.run_querysets"],
    ["sessions_app.review.models", "sessions_app.cleanup.models"],
    ["sessions_app.models"],
    ["sessions_app.writing", "sessions_app.cleanup"],
    ["sessions_app.review", "sessions_app.statistics"],
    ["agents_app.querysets"],
    [
        *("agents_app.accounts.models", "agents_app.chats.feedback_models"),
        *("agents_app.programs.queue_models", "agents_app.runs.models"),
    ],
    ["agents_app.models"],
    ["agents_app.run_options"],
    ["agents_app.conversation", "agents_app.llm"],
    ["agents_app.history"],
    ["agents_app.agents"],
    ["agents_app.runs"],
    ["agents_app.chats", "agents_app.agent_pictures"],
    ["agents_app.services", "agents_app.tasks", "agents_app.accounts"],
    ["agents_app.programs"],
    ["agents_app.sse"],
    ["agents_app.web", "agents_app.api", "agents_app.automagik", "agents_app.checks"],
    [
        *("sessions_app.admin", "sessions_app.management"),
        "sessions_app.tasks",
    ],
    ["sessions_app.templatetags"],
    ["agents_app.admin", "agents_app.management", "agents_app.templatetags"],
    ["sessions_app.apps", "agents_app.apps"],
    ["config"],
]
PARTS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
APPS = ("sessions_app", "agents_app")


def modules(folder: str) -> list[Path]:
    return sorted(path for path in (ROOT / folder).rglob("*.py") if "migrations" not in path.parts)


PRODUCT = [path for folder in ("config", *APPS) for path in modules(folder)]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULE_NAMES = {module_name(path) for path in PRODUCT}


def part_of(name: str) -> str | None:
    """The part of the product that a module belongs to: the innermost one that LAYERS names."""
    found = [part for part in PARTS if f"{name}.".startswith(f"{part}.")]
    return max(found, key=len, default=None)


def for_each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: str(path.relative_to(ROOT)))


def imports(path: Path) -> Iterator[str]:
    """The modules that a module imports, in functions too, but not those for annotations only."""
    nodes: list[ast.AST] = [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            nodes += node.orelse
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "imports are absolute"
            assert not node.level, "imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                is_module = submodule in MODULE_NAMES | WEB_LIBRARIES
                yield submodule if is_module else node.module


def test_every_module_belongs_to_one_layer() -> None:
    unplaced = {name for name in MODULE_NAMES - set(APPS) if part_of(name) is None}
    assert not unplaced, "add new modules to LAYERS"
    assert set(PARTS) <= MODULE_NAMES, "LAYERS names a module that does not exist"


@for_each(PRODUCT)
def test_imports_go_one_way(path: Path) -> None:
    name = module_name(path)
    if name in APPS:
        return  # a docstring only
    own = part_of(name)
    assert own
    for imported in imports(path):
        if imported.split(".")[0] not in {"config", *APPS}:
            continue
        part = part_of(imported)
        assert part
        assert part == own or PARTS[part] < PARTS[own], f"{name} imports {imported}"


@for_each(modules("sessions_app"))
def test_sessions_app_knows_nothing_of_agents(path: Path) -> None:
    roots = {imported.split(".")[0] for imported in imports(path)}
    assert not roots & {"agents_app", *AGENT_LIBRARIES}


@for_each(
    [
        path
        for path in PRODUCT
        if PARTS.get(part_of(module_name(path)) or "", 0) < PARTS["agents_app.web"]
    ]
)
def test_layers_below_the_web_know_no_html(path: Path) -> None:
    for imported in imports(path):
        assert not any(f"{imported}.".startswith(f"{library}.") for library in WEB_LIBRARIES)


def test_what_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^\w-]", text)[0].lower() for text in project["dependencies"]}
    own_or_standard = {"config", *APPS, *sys.stdlib_module_names}
    roots = {imported.split(".")[0] for path in PRODUCT for imported in imports(path)}
    distributions = packages_distributions()
    for root in roots - own_or_standard:
        names = {name.lower().replace("_", "-") for name in distributions[root]}
        assert names & declared, f"pyproject.toml does not declare {root}"


@for_each([path for path in PRODUCT if path.name == "__init__.py"])
def test_packages_hold_a_docstring_only(path: Path) -> None:
    module = ast.parse(path.read_text())
    assert ast.get_docstring(module)
    assert len(module.body) == 1


def test_modules_with_a_path_of_any_text_register_its_converter() -> None:
    with_such_a_path = [path for path in modules("agents_app/api") if "{any:" in path.read_text()]
    assert with_such_a_path
    for path in with_such_a_path:
        assert "agents_app.api.path_converters" in set(imports(path)), path


def scopes(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Every node of a module but docstrings and imports, with its place: `path:Class.method`."""
    nodes: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text()))]
    while nodes:
        scope, node = nodes.pop()
        yield f"{path.relative_to(ROOT)}:{scope}", node
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            scope = f"{scope}.{node.name}".lstrip(".")
        nodes += [
            (scope, child)
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.Import | ast.ImportFrom)
            and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
        ]


def tells_phantoms_apart(node: ast.AST) -> bool:
    """Whether the node uses a part of the rule for removable sessions."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return name in {"AUTO_NAME_PREFIX", "PHANTOM_PLATFORM"} or (
                not isinstance(node, ast.Attribute) and name.startswith("auto_named")
            )
        case ast.Constant(value=str(text)):
            return text == "automagik" or text.startswith("Session-") or "auto_named" in text
    return False


def test_the_rule_for_removable_sessions_is_in_one_place() -> None:
    places = {
        place
        for path in PRODUCT
        for place, node in scopes(path)
        if tells_phantoms_apart(node) and path != ROOT / "sessions_app" / "querysets.py"
    }
    assert places == {
        "sessions_app/models.py:Session",  # the generated column that the rule reads
        "sessions_app/models.py:Session.Meta",  # the index of the rule's candidates
        "config/metrics.py:_sessions",  # estimates by that index
        "sessions_app/cleanup/keep_reasons.py:_reasons",  # the rule in words
        "sessions_app/admin/session_filters.py:PlatformFilter",  # offers that platform
        "agents_app/history.py:MessageHistory._create_session",  # old callers, as Automagik
    }


LOOKUPS = {"filter", "exclude", "get", "aget", "get_object_or_404", "Q", "When", "update"}
WHERE_RULES_ARE = {
    ROOT / app / name for app in APPS for name in ("models.py", "querysets.py", "runs/models.py")
}


def looked_up(node: ast.AST) -> tuple[str, set[str]]:
    """The model that a call queries, empty if unknown, and the names of its conditions."""
    if not isinstance(node, ast.Call):
        return "", set()
    called = node.func
    name = called.attr if isinstance(called, ast.Attribute) else ast.unparse(called)
    if name not in LOOKUPS:
        return "", set()
    manager = re.match(r"(\w+)\.objects\b", ast.unparse(called))
    model = manager[1] if manager else ""
    if name == "get_object_or_404":
        model = ast.unparse(node.args[0]).removesuffix(".objects")
    return model, {keyword.arg for keyword in node.keywords if keyword.arg}


def test_whose_a_session_is_is_asked_in_querysets_only() -> None:
    by_owner = re.compile(r"(session__)?user(_id)?(__.*)?")
    places = {
        place
        for path in PRODUCT
        if path not in WHERE_RULES_ARE
        for place, node in scopes(path)
        for model, names in [looked_up(node)]
        if model in {"Session", "Message", "AgentRun", ""} and any(map(by_owner.fullmatch, names))
    }
    assert places == {
        "sessions_app/admin/filters.py:UserFilter.queryset",  # staff may ask for anybody's
        "sessions_app/search/sessions.py:_of_users",  # as above
    }


def test_what_the_trash_is_is_said_in_querysets_only() -> None:
    own = {*WHERE_RULES_ARE, ROOT / "agents_app" / "chats" / "trash.py"}  # moves in and out of it
    places = {
        place
        for path in PRODUCT
        if path not in own
        for place, node in scopes(path)
        if any("trashed_at" in name for name in looked_up(node)[1])
        or (isinstance(node, ast.Attribute) and node.attr == "trashed_at")
    }
    assert places == {"agents_app/admin/session_facts.py:_times"}  # shows since when


def writes_a_status(node: ast.AST) -> bool:
    """Whether the node compares, filters by, lists or stores a status as a string literal."""
    values: list[ast.expr]
    match node:
        case ast.Compare(left=left, comparators=comparators):
            values = [left, *comparators]
        case ast.keyword(arg=str(name), value=value) if "status" in name:
            values = [value]
        case ast.Call(func=ast.Name(id="Value"), args=arguments):
            values = arguments
        case ast.Dict(keys=keys) if len(keys) > 1:  # by status; one key may be any word
            values = [key for key in keys if key]
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            values = elements
        case _:
            return False
    statuses = {*AgentRun.Status.values, *CleanupRun.Status.values}
    return any(
        isinstance(part, ast.Constant) and part.value in statuses
        for value in values
        for part in (
            value,
            *(value.elts if isinstance(value, ast.List | ast.Tuple | ast.Set) else ()),
        )
    )


def test_statuses_are_named_by_their_enum() -> None:
    names = ("models.py", "querysets.py", "cleanup/models.py", "runs/models.py")
    own = {ROOT / app / name for app in APPS for name in names}
    assert not {
        place
        for path in PRODUCT
        if path not in own
        for place, node in scopes(path)
        if writes_a_status(node)
    }


def test_the_archive_has_every_column_of_a_session() -> None:
    archived = {field.attname: field for field in RemovedSession._meta.concrete_fields}
    for field in Session._meta.concrete_fields:
        if field.primary_key or isinstance(field, GeneratedField):
            continue
        assert field.attname in archived, "a removed session would lose it"
        # Foreign keys are archived as plain numbers.
        expected = BigIntegerField if isinstance(field, ForeignKey) else type(field)
        assert type(archived[field.attname]) is expected
        assert archived[field.attname].null >= field.null


@for_each(PRODUCT)
def test_modules_have_a_docstring_and_stay_short(path: Path) -> None:
    source = path.read_text()
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), "a docstring describes the module"
    assert source.count("\n") <= 400


def test_templates_take_the_lengths_of_fields_from_where_they_are_checked() -> None:
    literal = re.compile(r'maxlength="\d')
    templates = [path for app in APPS for path in (ROOT / app / "templates").rglob("*.html")]
    assert not [path for path in templates if literal.search(path.read_text())]


def functions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """The functions of a module, by name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node


def creates_sessions(node: ast.AST) -> bool:
    """Whether the node builds Session objects, or inserts rows through the manager or by SQL."""
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


def test_sessions_are_created_in_these_places_only() -> None:
    places = {
        f"{path.relative_to(ROOT)}:{name}"
        for path in PRODUCT
        for name, node in functions(path)
        if creates_sessions(node)
    }
    assert places == {
        "agents_app/services.py:start_session",  # a person starts a chat
        "agents_app/services.py:create_session",  # a program asks for an empty one
        "agents_app/history.py:_create_session",  # old callers ask for it explicitly
        "agents_app/web/chat_pages.py:_chat_frame",  # is shown, and never stored
        "agents_app/automagik/loading.py:_read_session",  # an import
        "agents_app/automagik/loading.py:_store_sessions",
        "sessions_app/cleanup/restoring.py:_as_sessions",  # an undo
        "sessions_app/cleanup/restoring.py:_restore_batch",
    }
