"""Searches as on the web, and excerpts."""

import pytest

from sessions_app.search.excerpts import Segment, excerpt, matching
from sessions_app.search.messages import Alternative, Term, parse, parse_web


def alternative(required: list[str], excluded: list[str], *, prefix: bool = False) -> Alternative:
    terms = [Term(text) for text in required]
    if prefix:
        terms[-1] = Term(required[-1], is_prefix=True)
    return Alternative(terms, [Term(text) for text in excluded])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red apple", [alternative(["red", "apple"], [], prefix=True)]),
        ('"red apple"', [alternative(["red apple"], [])]),
        ("apple -red", [alternative(["apple"], ["red"])]),
        ('apple -"dark red"', [alternative(["apple"], ["dark red"])]),
        (
            "apple or pear",
            [alternative(["apple"], []), alternative(["pear"], [], prefix=True)],
        ),
        ('apple "or" pear', [alternative(["apple", "or", "pear"], [], prefix=True)]),
        ("e-mail", [alternative(["e-mail"], [], prefix=True)]),
        ("or", []),
        ("-red", []),
        ("-red or apple", [alternative(["apple"], [], prefix=True)]),
        ("- ! -- ''", []),
        ("", []),
    ],
)
def test_parse_web(text: str, expected: list[Alternative]) -> None:
    assert parse_web(text) == expected


def test_an_excerpt_is_a_line_with_the_matches_told_apart() -> None:
    pattern = matching(parse("apple"))
    assert excerpt("An\n apple  a day", pattern) == [
        Segment("An "),
        Segment("apple", is_match=True),
        Segment(" a day"),
    ]
    far = excerpt("word " * 500 + "apples" + " word" * 500, pattern)
    assert (far[0], far[-1]) == (Segment("… "), Segment(" …"))
    assert sum(len(part.text) for part in far) < 260
    assert Segment("apple", is_match=True) in far


def test_markup_is_left_out_unless_the_match_is_in_it() -> None:
    def as_line(text: str) -> str:
        return text.replace("*", "").replace("(apple)", "")

    pattern = matching(parse("apple"))
    assert "".join(part.text for part in excerpt("An *apple*", pattern, as_line=as_line)) == (
        "An apple"
    )
    assert "".join(part.text for part in excerpt("*x*(apple)", pattern, as_line=as_line)) == (
        "*x*(apple)"
    )
