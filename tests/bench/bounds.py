"""Figures and their bounds."""

from collections.abc import Callable, Sequence
from statistics import median

from rich.table import Table


class Report:
    """A table of figures, with their median and each round's value, and the missed bounds."""

    def __init__(self, title: str) -> None:
        self.table = Table(title=title)
        for heading in ("", "measured", "each round", "bound"):
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
        """Add a row, and compare its summary with a bound.

        `form` formats a number with its unit, as in `"{:.2f}×"`; `details` replace the values of
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
            self.missed.append(f"{name}: {shown}, bound: {bound}")
            bound += " (missed)"
        self.table.add_row(name, shown, details, bound)
