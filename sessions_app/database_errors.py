"""What a database error means: locked, unreachable, worth a retry, or a query too complex."""

from django.db import InterfaceError, OperationalError, connection

# PostgreSQL's codes (manual, appendix A); SQLite's errors have only a text.
RETRYABLE_SQLSTATES = {
    "40001",  # serialization failure
    "40P01",  # deadlock detected
    "55P03",  # lock not available, also after lock_timeout
}
_LOCKED = RETRYABLE_SQLSTATES | {"57014"}  # query canceled, also after statement_timeout
_CONNECTION_LOST = {
    "25P03",  # idle in transaction for too long
    "25P04",  # a transaction for too long
    "53300",  # too many connections
    "57P01",  # admin shutdown
    "57P02",  # crash shutdown
    "57P03",  # cannot connect now
    "57P05",  # idle for too long
}
_SQLITE_LIMITS = ("pattern too complex", "Expression tree is too large", "too many SQL variables")


def is_unavailable(error: BaseException) -> bool:
    """Whether the database is locked or unreachable, so that a later attempt may succeed."""
    return is_locked(error) or is_unreachable(error)


def is_retryable(error: OperationalError) -> bool:
    """Whether the same transaction may succeed at once; PostgreSQL only.

    SQLite has already waited for the lock, for the connection's timeout.
    """
    return sqlstate(error) in RETRYABLE_SQLSTATES


def is_locked(error: BaseException) -> bool:
    """Whether another transaction held a lock for longer than the timeout."""
    if not isinstance(error, OperationalError):
        return False
    return sqlstate(error) in _LOCKED or "is locked" in str(error)


def is_unreachable(error: BaseException) -> bool:
    """Whether there is no connection: refused, broken, or none free in the pool."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if connection.vendor == "sqlite":
        return "unable to open database file" in str(error)
    code = sqlstate(error)
    # Without a connection there is no server to give a code.
    return code is None or code.startswith("08") or code in _CONNECTION_LOST


def is_too_complex(error: BaseException) -> bool:
    """Whether a query exceeds the database's limits, as a search for a thousand words does."""
    if not isinstance(error, OperationalError):
        return False
    limit_exceeded = (sqlstate(error) or "").startswith("54")
    return limit_exceeded or any(text in str(error) for text in _SQLITE_LIMITS)


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code for the error; None for SQLite's errors."""
    code: str | None = getattr(error.__cause__, "sqlstate", None)
    return code


def one_line(error: BaseException) -> str:
    """The first line of the error's message, which is what it is about; never empty."""
    return str(error).strip().split("\n")[0] or type(error).__name__
