"""What a database error means: is the database busy or away, or was it asked for too much?"""

from django.db import Error, InterfaceError, OperationalError, connection

# PostgreSQL's codes (manual, appendix A); SQLite's errors have their texts only.
_LOCKED = {
    "40001",  # serialization failure
    "40P01",  # deadlock detected
    "55P03",  # lock not available, also after lock_timeout
    "57014",  # query canceled, as statement_timeout does
}
_AWAY = {
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
    """Whether the database is busy or away, and the same may succeed a little later."""
    return is_locked(error) or is_away(error)


def is_locked(error: BaseException) -> bool:
    """Whether somebody else held a lock for longer than one waits."""
    if not isinstance(error, OperationalError):
        return False
    return _code(error) in _LOCKED or "is locked" in str(error)


def is_away(error: BaseException) -> bool:
    """Whether there is no connection: refused, broken, or none free in the pool."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if connection.vendor == "sqlite":
        return "unable to open database file" in str(error)
    code = _code(error)
    # Without a connection there is no server to give a code.
    return code is None or code.startswith("08") or code in _AWAY


def is_too_complex(error: BaseException) -> bool:
    """Whether a query was larger than the database allows, as one with a thousand words is."""
    if not isinstance(error, OperationalError):
        return False
    class_of_limits = (_code(error) or "").startswith("54")
    return class_of_limits or any(text in str(error) for text in _SQLITE_LIMITS)


def _code(error: Error) -> str | None:
    code: str | None = getattr(error.__cause__, "sqlstate", None)
    return code
