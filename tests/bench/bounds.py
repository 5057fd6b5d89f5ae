"""Figures with the bounds that they are to keep."""

from collections.abc import Callable, Sequence
from statistics import median

from rich.table import Table


class Report:
    """A table of figures, each round's beside their median, and which bounds were missed."""

    def __init__(self, title: str) -> None:
        self.table = Table(title=title)
        for heading in ("", "measured", "each round", "to reach"):
            self.table.add_column(heading)
        self.missed: list[str] = []

    def add(
        self,
        name: str,
        values: Sequence[float],
        form: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
        summary: Callable[[Sequence[float]], float] = median,
        details: str | None = None,
    ) -> None:
        """Add a row whose summary is held against a bound.

        `form` is a number with its unit, as in `"{:.2f}×"`; `details` replace the values of
        the rounds.
        """
        measured = summary(values)
        unit = form.partition("}")[2]
        bound = ""
        is_missed = False
        if at_most is not None:
            bound, is_missed = f"≤ {at_most:g}{unit}", measured > at_most
        elif at_least is not None:
            bound, is_missed = f"≥ {at_least:g}{unit}", measured < at_least
        if details is None:
            details = ", ".join(form.format(value).removesuffix(unit) for value in values)
        shown = form.format(measured)
        if is_missed:
            self.missed.append(f"{name}: {shown}, to reach: {bound}")
            bound += " (missed)"
        self.table.add_row(name, shown, details, bound)
