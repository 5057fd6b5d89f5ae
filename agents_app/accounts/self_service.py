"""The use-cases of an account: preferences, e-mail, ending other logins, deletion."""

from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.db import transaction

from agents_app.chats.trash import delete_sessions
from agents_app.models import Preferences
from sessions_app.models import Session

DISPLAY_NAME_LENGTH = 100
_BATCH_SIZE = 100  # chats per transaction


class AccountError(Exception):
    """What a user asked for cannot be done; the text says why."""


class WrongPassword(AccountError):
    """The password is not the user's."""


class LastSuperuser(AccountError):
    """Without this user, nobody could administer the site."""


def save_preferences(*, user: User, display_name: str, theme: str) -> Preferences:
    """Store what the user has chosen."""
    chosen = {"display_name": display_name, "theme": theme}
    preferences, _ = Preferences.objects.update_or_create(user=user, defaults=chosen)
    return preferences


def choose_theme(*, user: User, theme: str) -> None:
    """Store the theme, which the chat pages and the admin share."""
    Preferences.objects.update_or_create(user=user, defaults={"theme": theme})


def end_logins(*, user: User, password: str) -> None:
    """End all logins of the user. Raises WrongPassword.

    Django ties a login to the stored hash. Storing the same password with another salt ends them
    all, without a table of logins that every request would have to query.
    """
    _check_password(user, password)
    user.set_password(password)
    user.save(update_fields=["password"])


def delete_account(*, user: User, password: str) -> None:
    """Delete the user with their chats, in the trash or not.

    Other rows that refer to the user stay, without the reference. The chats are deleted in batches
    with their rows locked, so that concurrent writers find them gone; a deletion that is killed
    halfway is completed by the next one.

    Raises WrongPassword or LastSuperuser.
    """
    _check_password(user, password)
    _check_not_last_superuser(user)
    while _delete_chats(user):
        pass
    with transaction.atomic():
        # Locked, so that no further chat can be started.
        User.objects.select_for_update().get(pk=user.pk)
        _check_not_last_superuser(user)
        while _delete_chats(user):
            pass
        user.delete()


def trust_given_address(*, user: User) -> None:
    """Record the user's address as confirmed if it comes from staff rather than a sign-up.

    Otherwise django-allauth would drop it as soon as another one is requested, before that one is
    confirmed.
    """
    if not user.email:
        return
    address, _ = EmailAddress.objects.get_or_create(user=user, email=user.email.lower())
    if not address.primary and address.set_verified():
        address.set_as_primary()


def _check_password(user: User, password: str) -> None:
    if not user.check_password(password):
        raise WrongPassword("This is not your password.")


def _check_not_last_superuser(user: User) -> None:
    """Raise LastSuperuser unless another one remains; locks them when in a transaction."""
    with transaction.atomic():
        superusers = User.objects.filter(is_superuser=True, is_active=True).order_by("pk")
        keys = list(superusers.select_for_update().values_list("pk", flat=True))
    if keys == [user.pk]:
        raise LastSuperuser(
            "You are the only superuser. Make another user a superuser in the admin first."
        )


def _delete_chats(user: User) -> bool:
    """Delete some of the user's chats with their messages and runs; whether there were any."""
    own = Session.objects.owned_by(user).order_by("pk")
    return delete_sessions(own[:_BATCH_SIZE]) > 0
