"""Formats durations, costs and token counts compactly."""

from decimal import Context, Decimal

_SIGNIFICANT = 3  # digits of an amount below one dollar


def dollars(amount: Decimal) -> str:
    """Format an amount of US dollars; below one dollar, with significant digits."""
    if amount >= 1 or not amount:
        return f"${amount:,.2f}"
    return f"${Context(prec=_SIGNIFICANT).plus(amount).normalize():f}"


def duration(seconds: float) -> str:
    """Format a duration: `0.42 s`, `12.3 s`, `2 min 5 s`, `3 h 0 min`."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def tokens(tokens_in: int | None, tokens_out: int | None) -> str:
    """Format the numbers of input and output tokens; empty if neither is known."""
    if tokens_in is None and tokens_out is None:
        return ""
    return f"{tokens_in or 0:,} tokens in, {tokens_out or 0:,} out"
