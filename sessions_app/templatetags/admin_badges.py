"""The colours of badges, for the admin's templates."""

from django import template

from sessions_app.admin.badges import OUTCOMES, Kind

register = template.Library()


@register.filter
def outcome_kind(status: str) -> Kind:
    """The kind of badge for how an answer ended, or that it has not ended."""
    return OUTCOMES.get(status, "neutral")
