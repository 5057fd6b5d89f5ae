"""Bar charts as SVG, rendered on the server without scripts or inline styles; classes set colours.

For assistive technology, a chart is an image with a name; a table beside it has the numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_STEP, _GAP, _HEIGHT = 10, 2, 100  # in the drawing's units; the stylesheet scales it


@dataclass(frozen=True)
class Series:
    """One value per column; `kind` sets the colour: good, bad, warn, neutral or plain."""

    label: str
    kind: str
    values: Sequence[int]


def top_of(series: Sequence[Series]) -> int:
    """Return the value at the upper edge of a chart of these series."""
    return max(
        (sum(column) for column in zip(*(one.values for one in series), strict=True)), default=0
    )


def stacked_bars(name: str, columns: Sequence[str], series: Sequence[Series]) -> SafeString:
    """Draw one bar per column, with the series stacked; hovering over a bar shows its value."""
    scale = _HEIGHT / max(1, top_of(series))
    bars: list[SafeString] = []
    for index, column in enumerate(columns):
        base = float(_HEIGHT)
        for one in series:
            value = one.values[index]
            if not value:
                continue
            height = max(1.0, value * scale)
            base -= height
            at = (index * _STEP + _GAP / 2, round(base, 2), _STEP - _GAP, round(height, 2))
            what = f"{column}: {value:,} {one.label}"
            bars.append(_bar(at, one.kind, what))
    return _drawing(name, len(columns) * _STEP, bars)


def share_bar(name: str, series: Sequence[Series]) -> SafeString:
    """Draw one horizontal bar with the shares of the series' first values."""
    whole = sum(one.values[0] for one in series)
    bars: list[SafeString] = []
    left = 0.0
    for one in series:
        width = 100 * one.values[0] / max(1, whole)
        if width:
            at = (round(left, 2), 0, round(width, 2), _HEIGHT)
            bars.append(_bar(at, one.kind, f"{one.values[0]:,} {one.label}"))
        left += width
    return _drawing(name, 100, bars)


def _bar(at: tuple[float, float, float, float], kind: str, what: str) -> SafeString:
    return format_html(
        '<rect class="bar bar-{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        kind,
        *at,
        what,
    )


def _drawing(name: str, width: int, bars: Sequence[SafeString]) -> SafeString:
    return format_html(
        '<svg class="bars" role="img" aria-label="{}" viewBox="0 0 {} {}"'
        ' preserveAspectRatio="none">{}</svg>',
        name,
        width,
        _HEIGHT,
        format_html_join("", "{}", ((bar,) for bar in bars)),
    )
