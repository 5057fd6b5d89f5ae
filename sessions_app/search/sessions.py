"""The admin's search for sessions: by name, by id, and by user.

Every word has to occur in the session's name, or in the user's name or e-mail address, without
regard to case: the results of Django's `icontains`, without reading every row. Text that may be
the start of an id also finds sessions by id.

PostgreSQL looks up the trigrams of names, in the index of migration 0010_list_speed. That does not
help with words of one or two characters, for which all names are read, nor with very common
words, which are soon found without it.
"""

import json
import string
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.db import connections
from django.db.models import BooleanField, F, Func, Q, QuerySet, TextField, Value
from django.utils.text import smart_split, unescape_string_literal

_TRIGRAM = 3  # characters
_COMMON = 50_000  # names with a word, from which on the index would only slow down the search
_LOOKED_UP = 3  # words of a search for which the index is used
_USERS = 1000  # users found by a word, up to which a query lists their ids
_ID_PREFIX = 8  # the first group of a UUID; a shorter prefix would match by chance


def search_sessions(
    sessions: QuerySet[Any], text: str, *, user_fields: Sequence[str]
) -> QuerySet[Any]:
    """Those that match a search; `user_fields` are the fields of User that it includes."""
    words = list(_words(text))
    if not words:
        return sessions
    looked_up = set(sorted(words, key=len, reverse=True)[:_LOOKED_UP])
    found = Q()
    for word in words:
        in_name = Q(name__icontains=word)
        if word in looked_up and _is_worth_the_index(sessions, word):
            in_name &= Q(_has_trigrams(word))
        found &= in_name | _of_users(word, user_fields)
    if ids := ids_starting_with(text):
        found |= Q(pk__range=ids)
    return sessions.filter(found)


def ids_starting_with(text: str) -> tuple[UUID, UUID] | None:
    """The lowest and the highest id that start with `text`, if it looks like part of an id."""
    digits = text.strip().replace("-", "")
    if _ID_PREFIX <= len(digits) <= 32 and set(digits) <= set(string.hexdigits):
        return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    return None


def _words(text: str) -> Iterable[str]:
    """The words of a search, split as in Django's admin: quotes keep words together."""
    for word in smart_split(text):
        if word.startswith(('"', "'")) and word[0] == word[-1]:
            word = unescape_string_literal(word)
        yield word


def _is_worth_the_index(sessions: QuerySet[Any], word: str) -> bool:
    if connections[sessions.db].vendor != "postgresql" or len(word) < _TRIGRAM:
        return False
    # The planner multiplies the frequencies of trigrams as if they were independent, and so would
    # use the index even for a word in half of all names.
    names = sessions.model._default_manager.filter(name__icontains=word).values("pk")
    plan: list[dict[str, Any]] = json.loads(names.explain(format="json"))
    return int(plan[0]["Plan"]["Plan Rows"]) < _COMMON


class _Contains(Func):
    """Whether the first array has all elements of the second."""

    template = "(%(expressions)s)"
    arg_joiner = " @> "
    output_field = BooleanField()


def _has_trigrams(word: str) -> Func:
    def trigrams(text: F | Value) -> Func:
        return Func(text, function="name_trigrams", output_field=TextField())

    return _Contains(trigrams(F("name")), trigrams(Value(word)))


def _of_users(word: str, fields: Sequence[str]) -> Q:
    """The condition that the word occurs in one of these fields of a session's user.

    The users are looked up first: with a join, the database would read all sessions.
    """
    if not fields:
        return Q()
    found = User.objects.filter(reduce(or_, (Q(**{f"{f}__icontains": word}) for f in fields)))
    keys = list(found.values_list("pk", flat=True)[: _USERS + 1])
    return Q(user__in=keys if len(keys) <= _USERS else found)
