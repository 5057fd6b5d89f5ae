"""The documentation has a sentence about each operation, and an example of each body."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from agents_app.api.urls import api

SCHEMA = api.get_openapi_schema()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}
by_name = pytest.mark.parametrize("name", OPERATIONS)


@by_name
def test_each_operation_has_a_sentence(name: str) -> None:
    summary = OPERATIONS[name]["summary"]
    assert len(summary.split()) > 3
    assert summary == summary.strip()
    # Swagger UI shows it without formatting.
    assert not {"`", "\n", "*"} & set(summary)


def test_names_of_a_generated_client() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert {"run_agent", "list_sessions", "create_session", "create_completion"} < set(names)
    assert not any("agents_app" in name for name in names)


def test_each_operation_is_in_a_group_that_is_described() -> None:
    groups = [group["name"] for group in SCHEMA["tags"]]
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == set(groups)


def test_no_two_operations_have_the_same_sentence() -> None:
    assert len({operation["summary"] for operation in OPERATIONS.values()}) == len(OPERATIONS)


def bodies(operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of JSON bodies, of the request and the responses."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        if "application/json" in part.get("content", {}):
            yield part["content"]["application/json"]["schema"]


@by_name
def test_each_body_has_an_example(name: str) -> None:
    found = list(bodies(OPERATIONS[name]))
    assert found
    for schema in found:
        [reference] = [
            part["$ref"]
            for part in (schema, schema.get("items", {}), *schema.get("anyOf", []))
            if "$ref" in part
        ]
        component = SCHEMA["components"]["schemas"][reference.rpartition("/")[2]]
        [example] = component["examples"]
        whole = {**component, "components": SCHEMA["components"]}
        Draft202012Validator(whole).validate(example)
