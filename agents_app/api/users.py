"""Users, for keys that may look them up."""

from typing import Annotated

from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja import Path, Router

from agents_app.accounts.external_users import find_user
from agents_app.api import path_converters  # noqa: F401 - registers `any`
from agents_app.api.auth import check_permission, require_scope
from agents_app.api.errors import ERRORS, Error
from agents_app.api.paging import PageNumber, PageSize, Total
from agents_app.api.response_schemas import UserList, UserSummary
from agents_app.models import ExternalUser, Scope
from sessions_app.displayable import encodable, encodable_json

router = Router(tags=["users"])


@router.get("/users", response={200: UserList, ERRORS: Error}, auth=require_scope(Scope.USERS))
def list_users(
    request: HttpRequest,
    page: PageNumber = 1,
    page_size: PageSize = 20,
) -> UserList:
    """List all users, ordered by id."""
    check_permission(request, "auth.view_user", "view other users")
    start = (page - 1) * page_size
    count = User.objects.count()
    rows = User.objects.order_by("pk")[start : start + page_size]
    return UserList(
        users=_summaries(list(rows)),
        page=page,
        page_size=page_size,
        total=count,
        total_pages=Total(count, is_capped=False).pages(page_size),
        has_next=start + page_size < count,
        has_prev=page > 1,
    )


@router.get(
    "/users/{any:user}", response={200: UserSummary, ERRORS: Error}, auth=require_scope(Scope.USERS)
)
def read_user(
    request: HttpRequest,
    user: Annotated[str, Path(description="An id, e-mail address, phone number or original id.")],
) -> UserSummary:
    """Look up a user by id, e-mail address, phone number or original id."""
    check_permission(request, "auth.view_user", "view other users")
    [summary] = _summaries([find_user(user)])
    return summary


def _summaries(users: list[User]) -> list[UserSummary]:
    rows = ExternalUser.objects.filter(user__in=users).order_by("-pk")
    external = {row.user_id: row for row in rows}  # the oldest of several
    return [_summary(user, external.get(user.pk) or ExternalUser()) for user in users]


def _summary(user: User, external: ExternalUser) -> UserSummary:
    return UserSummary(
        id=str(user.pk),
        username=encodable(user.username),
        email=encodable(user.email),
        phone_number=external.phone_number,
        original_id=external.original_id,
        user_data=encodable_json(external.data),
        created_at=user.date_joined,
    )
