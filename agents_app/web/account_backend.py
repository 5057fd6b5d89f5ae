"""The authentication backend. Every login names it by its dotted path, and ends if that changes."""

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.contrib.auth.models import User


class AccountBackend(AuthenticationBackend):
    """Logs in by name or e-mail address, and reads a user together with their preferences.

    Every page shows the name and the theme, so the join saves a query.
    """

    def get_user(self, user_id: Any) -> User | None:
        user = User.objects.select_related("preferences").filter(pk=user_id).first()
        return user if user and self.user_can_authenticate(user) else None
