"""A template filter for the list of sessions."""

from collections.abc import Iterable
from typing import Any

from django import template

register = template.Library()


@register.filter
def beside(cells: Iterable[Any], rows: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Each row's cells, which Django has rendered, with the row itself."""
    return list(zip(cells, rows, strict=True))
