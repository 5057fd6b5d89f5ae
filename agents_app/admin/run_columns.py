"""The columns of runs in the admin: outcome, tokens, cost, times, and error."""

from datetime import datetime, timedelta

from django.contrib import admin
from django.utils.html import format_html
from django.utils.text import Truncator

from agents_app.models import AgentRun, RunStatus
from sessions_app.admin.badges import OUTCOMES, badge
from sessions_app.admin.formatting import dollars, duration, short_time

ERROR_LENGTH = 120  # characters


class RunColumns:
    """Display methods for the runs' admin."""

    @admin.display(description="created")
    def created(self, run: AgentRun) -> str:
        return short_time(run.created_at)

    @admin.display(description="status")
    def status_badge(self, run: AgentRun) -> str:
        """Return the status; a run whose process is presumed dead is shown as interrupted."""
        status = RunStatus(run.current_status)
        return badge(status.label, OUTCOMES.get(status, "neutral"))

    @admin.display(description="model", empty_value="-")
    def model_name(self, run: AgentRun) -> str:
        return format_html('<span title="{}">{}</span>', run.model, run.model) if run.model else ""

    @admin.display(description="tokens in")
    def tokens_in(self, run: AgentRun) -> str:
        return _number(run.input_tokens)

    @admin.display(description="tokens out")
    def tokens_out(self, run: AgentRun) -> str:
        return _number(run.output_tokens)

    @admin.display(description="tokens in / out")
    def tokens(self, run: AgentRun) -> str:
        return f"{_number(run.input_tokens)} / {_number(run.output_tokens)}"

    @admin.display(description="cost")
    def shown_cost(self, run: AgentRun) -> str:
        return "-" if run.cost is None else dollars(run.cost)

    @admin.display(description="first token")
    def first_token(self, run: AgentRun) -> str:
        return _time(run.created_at, run.first_token_at)

    @admin.display(description="total")
    def total_time(self, run: AgentRun) -> str:
        return _time(run.created_at, run.finished_at)

    @admin.display(description="first / total")
    def times(self, run: AgentRun) -> str:
        return f"{self.first_token(run)} / {self.total_time(run)}"

    @admin.display(description="cut off")
    def was_truncated(self, run: AgentRun) -> str:
        return "Yes, at the token limit" if run.truncated else "No"

    @admin.display(description="error", empty_value="-")
    def short_error(self, run: AgentRun) -> str:
        start: str = run.error_start  # type: ignore[attr-defined]  # RunList's annotation
        text = Truncator(" ".join(start.split())).chars(ERROR_LENGTH)
        # The stylesheet truncates what does not fit.
        return format_html('<span title="{}">{}</span>', text, text) if text else ""


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _time(start: datetime, end: datetime | None) -> str:
    """Format how long it took; a dash if it has not ended."""
    return "-" if end is None else duration(max(end - start, timedelta()).total_seconds())
