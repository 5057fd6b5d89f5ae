"""Helpers for the tests of imports."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import Model

from agents_app.models import Agent, ImportedUser
from sessions_app.models import Message, Session
from tests.agents_app.automagik.databases import read_table, write_table

CHAT = "11111111-1111-4111-8111-111111111111"
ASKED = "22222222-2222-4222-8222-222222222222"
ANSWERED = "33333333-3333-4333-8333-333333333333"


def run(source: Path | str) -> str:
    out = StringIO()
    call_command("import_automagik", str(source), stdout=out)
    return out.getvalue()


def dump() -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that an import writes to."""
    tables: list[type[Model]] = [User, ImportedUser, Agent, Session, Message]
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values()) for model in tables
    }


def conversations() -> tuple[list[Any], list[Any]]:
    """Sessions and messages, with names in place of the keys that differ between imports."""
    names = ("user__email", "agent__name")
    left_out = {"user_id", "agent_id"}
    columns = [
        [f.attname for f in model._meta.concrete_fields if f.attname not in left_out]
        for model in (Session, Message)
    ]
    return (
        list(Session.objects.order_by("pk").values(*columns[0], *names)),
        list(Message.objects.order_by("pk").values(*columns[1], *names)),
    )


def change(folder: Path, table: str, column: str, value: str, *, row: int = 0) -> None:
    rows = read_table(folder, table)
    rows[row][column] = value
    write_table(folder, table, rows)


def assert_refused(source: Path | str, *parts: str) -> None:
    """The import fails with a one-line error that contains the parts, and stores nothing."""
    before = dump()
    with pytest.raises(CommandError) as refused:
        run(source)
    text = str(refused.value)
    for part in parts:
        assert part in text
    assert text.isprintable(), "one line without control characters"
    assert dump() == before


def count_queries(action: Callable[[], object]) -> int:
    count = 0

    def counting(execute: Any, *arguments: Any) -> Any:
        nonlocal count
        count += 1
        return execute(*arguments)

    with connection.execute_wrapper(counting):
        action()
    return count
