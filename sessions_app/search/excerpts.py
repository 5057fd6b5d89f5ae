"""Excerpts of found texts: one line around the first match, with all matches marked."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sessions_app.search.messages import Term

LENGTH = 240
_BEFORE_MATCH = 60
_AROUND = 600  # characters around the match that become a line: markup takes space too


@dataclass(frozen=True)
class Segment:
    """A part of an excerpt: a match, or the text between two matches."""

    text: str
    is_match: bool = False


def matching(terms: Sequence[Term]) -> re.Pattern[str]:
    """A pattern for the places where any of the terms occurs."""
    return re.compile("|".join(term.pattern for term in terms), re.IGNORECASE)


def excerpt(
    text: str, pattern: re.Pattern[str], *, as_line: Callable[[str], str] | None = None
) -> list[Segment]:
    """One line around the first match, split into its matches and the text between them.

    `as_line` turns marked-up text into a line.
    """
    match = pattern.search(text)
    start = max(0, match.start() - _AROUND // 2) if match else 0
    around = text[start : start + _AROUND]
    line = " ".join(around.split())
    if as_line is not None:
        rendered = as_line(around)
        if pattern.search(rendered):  # otherwise the match is in the markup, such as a link's URL
            line = rendered
    match = pattern.search(line)
    begin = _word_start(line, match.start()) if match else 0
    end = begin + LENGTH
    segments = list(_split_matches(line[begin:end], pattern))
    if start or begin:
        segments.insert(0, Segment("… "))
    if end < len(line) or start + _AROUND < len(text):
        segments.append(Segment(" …"))
    return segments


def _word_start(line: str, match_start: int) -> int:
    """Where a word begins, some way before the match."""
    begin = match_start - _BEFORE_MATCH
    if begin <= 0:
        return 0
    space = line.find(" ", begin, match_start)
    return begin if space == -1 else space + 1


def _split_matches(line: str, pattern: re.Pattern[str]) -> Iterator[Segment]:
    end = 0
    for match in pattern.finditer(line):
        yield Segment(line[end : match.start()])
        yield Segment(match[0], is_match=True)
        end = match.end()
    yield Segment(line[end:])
