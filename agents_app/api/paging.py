"""Pagination by page number and by cursor."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone
from pydantic import Field

from agents_app.api.errors import ApiError
from sessions_app.keyset import rows_after

# Counting stops here, so that a list of millions is as fast as one of thousands.
COUNT_LIMIT = 10_000
MAX_PAGE = 100_000
MAX_PAGE_SIZE = 100

# Without Ninja's Query, since all operations would share one instance with one default.
PageNumber = Annotated[int, Field(ge=1, le=MAX_PAGE)]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]


@dataclass(frozen=True)
class Total:
    """The number of rows; if `is_capped`, there are more."""

    count: int
    is_capped: bool

    def pages(self, page_size: int) -> int:
        return max(1, -(-self.count // page_size))


def count_up_to_limit(rows: QuerySet[Any]) -> Total:
    """Count the rows, up to COUNT_LIMIT."""
    found = rows.order_by().values("pk")[: COUNT_LIMIT + 1].count()
    return Total(min(found, COUNT_LIMIT), is_capped=found > COUNT_LIMIT)


@dataclass(frozen=True)
class Cursor:
    """The last row of the previous page: its time, and its key to order rows of the same time."""

    moment: datetime
    key: UUID

    def as_text(self) -> str:
        raw = f"{self.moment.isoformat()} {self.key}"
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> "Cursor":
        """Parse a cursor. Raises ApiError if it is invalid."""
        try:
            raw = base64.b64decode(
                text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
            moment, key = raw.decode("ascii").split(" ")
            at = datetime.fromisoformat(moment)
            if timezone.is_naive(at):
                raise ValueError("no offset")
            return cls(at.astimezone(UTC), UUID(key))
        except (ValueError, OverflowError, binascii.Error):
            raise ApiError(422, "invalid", "cursor: This is not a valid cursor.") from None

    def rows_after(self, field: str, *, descending: bool) -> Q:
        """The rows after this one, ordered by a time and the key."""
        return rows_after([(field, self.moment, descending), ("pk", self.key, descending)])
