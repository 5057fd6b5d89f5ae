"""Why sessions stay: SessionQuerySet.removable in words, for one session or a page of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import ForeignObjectRel
from django.utils.translation import ngettext

from sessions_app.models import Message, Session
from sessions_app.querysets import PHANTOM_PLATFORM


def keep_reasons(chat_sessions: Sequence[Session]) -> dict[UUID, list[str]]:
    """By id, what keeps each session from being removed; an empty list if it is removable.

    One query, and none without sessions. A session that no longer exists has no entry.
    """
    if not chat_sessions:
        return {}
    references = {
        f"referred_{number}": (relation, exists)
        for number, (relation, exists) in enumerate(Session.objects.all().references().items())
        if relation.related_model is not Message
    }
    rows = (
        Session.objects.filter(pk__in=[chat_session.pk for chat_session in chat_sessions])
        .with_message_count()
        .annotate(**{alias: exists for alias, (_, exists) in references.items()})
        .defer("metadata")
        .order_by()
    )
    relations = {alias: relation for alias, (relation, _) in references.items()}
    return {row.pk: list(_reasons(row, relations)) for row in rows}


def _reasons(row: Any, relations: Mapping[str, ForeignObjectRel]) -> Iterator[str]:
    if row.message_count:
        count = row.message_count
        yield ngettext("%s message", "%s messages", count) % f"{count:,}"
    if row.keep:
        yield "marked keep"
    if not row.auto_named:
        yield "named by a person" if row.name else "no auto-generated name"
    if row.platform != PHANTOM_PLATFORM:
        yield f"platform {row.platform}" if row.platform else "no platform"
    referring = [relation for alias, relation in relations.items() if getattr(row, alias)]
    # Two relations of one model say the same.
    yield from dict.fromkeys(map(_referring, referring))


def _referring(relation: ForeignObjectRel) -> str:
    name = str(relation.related_model._meta.verbose_name)
    article = "an" if name[:1].lower() in "aeio" else "a"
    return f"{article} {name} refers to it"
