"""Authentication: a request's key, its scopes, and the user that it acts for."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyHeader
from ninja.security.http import HttpAuthBase

from agents_app.accounts.api_keys import KEY_PREFIX, find_key
from agents_app.accounts.external_users import (
    UserDescription,
    UserNotFound,
    find_described,
    find_user,
)
from agents_app.api import throttling
from agents_app.api.errors import ApiError
from agents_app.models import ApiKey, Scope

_IN_QUERY = {"api_key", "apikey", "api-key", "x-api-key", "x_api_key", "key", "access_token"}

_ACT_FOR_USERS = "agents_app.act_for_users"


class _ScopedKey:
    """Checks a request's key and its scope."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    def check(self, request: HttpRequest, text: str | None) -> ApiKey | None:
        if not text:
            return None
        key = find_key(text)
        if key is None:
            return None
        throttling.check_rate_limit(key)
        if self.scope not in key.scopes:
            raise ApiError(403, "wrong_scope", f"This key does not have the scope '{self.scope}'.")
        return key


class HeaderKey(_ScopedKey, APIKeyHeader):
    """The key in the X-API-Key header."""

    param_name = "X-API-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        if _has_key_in_address(request):
            raise ApiError(
                401,
                "key_in_address",
                "A key in a URL ends up in logs. Send it in the X-API-Key header.",
                WWW_Authenticate="Bearer",
            )
        return self.check(request, key)


def _has_key_in_address(request: HttpRequest) -> bool:
    if _IN_QUERY & {name.lower() for name in request.GET}:
        return True
    words = " ".join(f"{name} {' '.join(values)}" for name, values in request.GET.lists()).split()
    return any(word.startswith(KEY_PREFIX) for word in words)


class BearerKey(_ScopedKey, HttpAuthBase):
    """The key as a bearer token.

    Ninja's HttpBearer would log a header with another scheme if DEBUG is on.
    """

    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> Any:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.check(request, token.strip()) if scheme.lower() == "bearer" else None


def require_scope(scope: Scope) -> list[Any]:
    """The `auth` of an operation that requires a scope."""
    return [HeaderKey(scope), BearerKey(scope)]


def key_of(request: HttpRequest) -> ApiKey:
    """The request's key, for operations that require one."""
    key: ApiKey = request.auth  # type: ignore[attr-defined]  # set by the library
    return key


def user_of(request: HttpRequest) -> User:
    """The user of the request's key."""
    return key_of(request).user


def check_permission(request: HttpRequest, permission: str, what: str) -> None:
    """Raise ApiError unless the key's user has the permission."""
    if not user_of(request).has_perm(permission):
        raise ApiError(403, "no_permission", f"The key's user may not {what}.")


def user_to_act_for(
    request: HttpRequest, *, user_id: str | None, described: UserDescription | None
) -> User | UserDescription:
    """The user to create a run for: the key's own, or another one if permitted.

    Returns the description of a user who does not exist yet, if the key's user may create users.

    A description takes precedence over an id: channels send both, and always the same id.
    Raises ApiError and UserNotFound.
    """
    own = user_of(request)
    if described is not None:
        found = find_described(described)
        if found != own or found is None:
            _check_may_act(request)
        if found is None:
            check_permission(request, "auth.add_user", "create users")
            return described
        return _active(found)
    if user_id is None or user_id == str(own.pk):
        return own
    try:
        found = find_user(user_id)
    except UserNotFound:
        _check_may_act(request)
        raise
    if found != own:
        _check_may_act(request)
    return _active(found)


def may_act_for_users(request: HttpRequest) -> bool:
    """Whether the key may act for other users too, as a channel's may."""
    may_act = user_of(request).has_perm(_ACT_FOR_USERS)
    return may_act and Scope.USERS in key_of(request).scopes


def _check_may_act(request: HttpRequest) -> None:
    if Scope.USERS not in key_of(request).scopes:
        raise ApiError(
            403, "wrong_scope", "This key acts only for its own user: it lacks the scope 'users'."
        )
    check_permission(request, _ACT_FOR_USERS, "act for other users")


def _active(user: User) -> User:
    if not user.is_active:
        raise UserNotFound("This user has been switched off.")
    return user
