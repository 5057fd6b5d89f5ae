"""A template filter for numbers."""

from django import template

register = template.Library()


@register.filter
def grouped(number: int) -> str:
    """The number with its thousands set apart: `20,419`."""
    return f"{number:,}"
