"""Full-text search in messages, through the index of migration 0005_message_words.

All words of a search have to occur. Words in quotes form a phrase, and the last word, unless
quoted, is a prefix: it may be incomplete while somebody types. Only `parse_web` knows operators.
Words are compared without regard to case, in any language, but accents count.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchVectorExact, SearchVectorField
from django.db.models import F, Func, Q
from django.db.models.expressions import RawSQL

# Scripts without spaces between words; the migration has the same list.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff"
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_WORD_ENDS = re.compile(rf"([-<>&/.@:+_~%?=#;{_UNSPACED}])")
_TERM = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WEB_TERM = re.compile(r'(-?)(?:"([^"]*)"?|([^\s"]+))')
_SQLITE_MATCH = """
    SELECT k.message_id FROM message_words AS w JOIN message_words_keys AS k ON k.id = w.rowid
    WHERE message_words MATCH %s
"""
_BETWEEN_WORDS = re.compile(r"[\s!-/:-@\[-`{-~]+")


@dataclass(frozen=True)
class Term:
    """A word, or a phrase."""

    text: str
    is_prefix: bool = False

    @property
    def pattern(self) -> str:
        """A regular expression for the places where the term occurs."""
        words = filter(None, _BETWEEN_WORDS.split(self.text))
        start = "" if _IS_UNSPACED.search(self.text) else r"(?<![^\W_])"
        end = "" if self.is_prefix or not start else r"(?![^\W_])"
        return start + r"[\W_]+".join(map(re.escape, words)) + end


def parse(search: str) -> list[Term]:
    """The terms of a search; none if it has no letter and no digit."""
    found = list(_TERM.finditer(search))
    terms = [
        # Only the last one is still being typed.
        Term(match[1] or match[2] or "", is_prefix=bool(match[2]) and match is found[-1])
        for match in found
    ]
    return [term for term in terms if any(map(str.isalnum, term.text))]


@dataclass(frozen=True)
class Alternative:
    """Terms that all have to occur, and terms of which none may."""

    required: list[Term]
    excluded: list[Term]


def parse_web(search: str) -> list[Alternative]:
    """The alternatives of a web-style search: `or` between them, `-` before what is excluded.

    An alternative that only excludes is dropped: it would match nearly every text.
    """
    found = list(_WEB_TERM.finditer(search))
    alternatives = [Alternative([], [])]
    for match in found:
        excludes, phrase, word = match.groups()
        if (word or "").lower() == "or" and not excludes:
            alternatives.append(Alternative([], []))
            continue
        is_last = match is found[-1]
        term = Term(phrase or word or "", is_prefix=bool(word) and is_last and not excludes)
        if any(map(str.isalnum, term.text)):
            chosen = alternatives[-1]
            (chosen.excluded if excludes else chosen.required).append(term)
    return [alternative for alternative in alternatives if alternative.required]


def web_condition(alternatives: Sequence[Alternative], vendor: str) -> Q:
    """The condition that a message matches one of the alternatives; there is at least one."""
    if vendor == "postgresql":
        # A single tsquery: NOT in the statement itself could not use the index.
        return _has_words(reduce(or_, map(_alternative_query, alternatives)))
    return reduce(or_, map(_alternative_condition, alternatives))


def _alternative_query(alternative: Alternative) -> Any:
    queries = [_query(term) for term in alternative.required]
    return reduce(and_, [*queries, *(~_query(term) for term in alternative.excluded)])


def _alternative_condition(alternative: Alternative) -> Q:
    found = _sqlite(alternative.required)
    for term in alternative.excluded:
        found &= ~_sqlite([term])
    return found


def condition(terms: Sequence[Term], vendor: str) -> Q:
    """The condition that a message contains all of the terms; there is at least one."""
    return _postgresql(terms) if vendor == "postgresql" else _sqlite(terms)


class _PrefixQuery(SearchQuery):
    """A phrase whose last word is a prefix."""

    def as_sql(self, *args: Any, **options: Any) -> Any:
        sql, params = super().as_sql(*args, **options)
        return f"(nullif({sql}::text, '') || ':*')::tsquery", params


def _postgresql(terms: Sequence[Term]) -> Q:
    return _has_words(reduce(and_, map(_query, terms)))


def _query(term: Term) -> SearchQuery:
    return (_PrefixQuery if term.is_prefix else SearchQuery)(
        _WORD_ENDS.sub(r" \1 ", term.text), config="simple", search_type="phrase"
    )


def _has_words(query: Any) -> Q:
    words = Func(F("text_content"), function="message_words", output_field=SearchVectorField())
    return Q(SearchVectorExact(words, query))


def _sqlite(terms: Sequence[Term]) -> Q:
    """SQLite splits words at spaces only, so terms in unspaced scripts are found as substrings."""
    unspaced = [term for term in terms if _IS_UNSPACED.search(term.text)]
    matched = Q()
    for term in unspaced:
        matched &= Q(text_content__icontains=term.text)
    spaced = [
        f'"{term.text}"' + (" *" if term.is_prefix else "")
        for term in terms
        if term not in unspaced
    ]
    if spaced:
        # No value is part of the statement itself.
        matched &= Q(pk__in=RawSQL(_SQLITE_MATCH, [" ".join(spaced)]))  # noqa: S611
    return matched
