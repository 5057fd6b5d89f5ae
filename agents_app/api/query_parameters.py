"""Query parameters that several operations share."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

MAX_PAGE = 100_000
MAX_PAGE_SIZE = 100

# Without Ninja's Query, since all operations would share one instance with one default.
PageNumber = Annotated[int, Field(ge=1, le=MAX_PAGE)]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)]


def _check_flag(value: Any) -> Any:
    # Pydantic would also accept other words, which are not documented.
    if isinstance(value, str) and value.lower() not in {"true", "false"}:
        raise ValueError("Input should be true or false")
    return value


Flag = Annotated[bool, BeforeValidator(_check_flag)]
