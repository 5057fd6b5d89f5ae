"""The charts: bars as high as their values, colours by class, and a name."""

import re
from xml.etree import ElementTree

from sessions_app.admin.svg_charts import Series, share_bar, stacked_bars, top_of

SVG = "{http://www.w3.org/2000/svg}"


def bars(drawing: str) -> list[dict[str, str]]:
    return [dict(bar.attrib) for bar in ElementTree.fromstring(drawing).iter("rect")]


def test_bars_stand_on_each_other_in_proportion() -> None:
    series = [Series("done", "good", [3, 0, 6]), Series("failed", "bad", [1, 0, 2])]
    drawing = stacked_bars("Answers", ["Mon", "Tue", "Wed"], series)
    assert top_of(series) == 8
    first, on_top, third, third_top = bars(drawing)
    assert (first["class"], first["y"], first["height"]) == ("bar bar-good", "62.5", "37.5")
    assert (on_top["class"], on_top["y"], on_top["height"]) == ("bar bar-bad", "50.0", "12.5")
    assert (third["height"], third_top["y"]) == ("75.0", "0.0")
    assert float(third["x"]) > float(first["x"])


def test_nothing_to_show_is_an_empty_drawing() -> None:
    assert bars(stacked_bars("Answers", ["Mon"], [Series("done", "good", [0])])) == []
    assert bars(share_bar("Ages", [Series("today", "plain", [0])])) == []
    assert top_of([]) == 0


def test_shares_fill_the_bar() -> None:
    parts = bars(share_bar("Ages", [Series("new", "plain", [1]), Series("old", "bad", [3])]))
    assert [(part["x"], part["width"]) for part in parts] == [("0.0", "25.0"), ("25.0", "75.0")]


def test_names_are_escaped_and_nothing_is_inline() -> None:
    drawing = stacked_bars('"><b>', ["<i>"], [Series("<u>", "good", [1200])])
    assert not re.search(r"<(b|i|u)>|style=|on\w+=", drawing)
    assert "1,200" in drawing
    assert 'role="img"' in drawing
