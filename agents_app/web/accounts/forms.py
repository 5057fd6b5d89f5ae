"""The forms of the account pages."""

from typing import Any

from allauth.account import forms as allauth_forms
from django import forms
from django.contrib.auth.models import User

from agents_app.accounts import api_keys, self_service
from agents_app.models import Scope, Theme
from agents_app.web.forms import UncheckedTextField, validate_storable

FOREVER = 0


class LabelsOnly:
    """A form whose placeholders do not repeat its labels."""

    fields: dict[str, forms.Field]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)


class SignupForm(LabelsOnly, allauth_forms.SignupForm):
    """A new account."""


class ChangePasswordForm(LabelsOnly, allauth_forms.ChangePasswordForm):
    """A new password, for a user who knows the current one."""


class SetPasswordForm(LabelsOnly, allauth_forms.SetPasswordForm):
    """The first password of a user who has none."""


class NewPasswordForm(LabelsOnly, allauth_forms.ResetPasswordKeyForm):
    """A new password, for a user who was sent a link."""


class AddEmailForm(LabelsOnly, allauth_forms.AddEmailForm):
    """A new e-mail address."""


class ReauthenticateForm(LabelsOnly, allauth_forms.ReauthenticateForm):
    """Asks for the password again."""


class LoginForm(LabelsOnly, allauth_forms.LoginForm):
    """Logs in by name or e-mail address; carries the message that could not be sent."""

    # Unchecked, since they must not prevent the login.
    text = UncheckedTextField(required=False, strip=False, widget=forms.HiddenInput)
    agent = UncheckedTextField(required=False, widget=forms.HiddenInput)
    writer = UncheckedTextField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        login = self.fields["login"]
        login.label = "Username or e-mail address"
        login.widget = forms.TextInput(
            {"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
        )
        self.fields["password"].help_text = ""

    def add_prefix(self, field_name: str) -> str:
        """The field's name in HTML; password managers know `username`."""
        return str(super().add_prefix("username" if field_name == "login" else field_name))


class ResetPasswordForm(LabelsOnly, allauth_forms.ResetPasswordForm):
    """Asks for the address; users without a password, such as imported ones, stay without one."""

    def clean_email(self) -> str:
        email = super().clean_email()
        self.users: list[User] = [user for user in self.users if user.has_usable_password()]
        return str(email)


class ThemeForm(forms.Form):
    """The theme of the pages."""

    theme = forms.ChoiceField(
        choices=Theme.choices, required=False, widget=forms.RadioSelect, label="Theme"
    )


class PreferencesForm(ThemeForm):
    """The display name, and the theme of the pages."""

    display_name = forms.CharField(
        label="Display name",
        required=False,
        max_length=self_service.DISPLAY_NAME_LENGTH,
        validators=[validate_storable],
        widget=forms.TextInput({"autocomplete": "nickname", "dir": "auto"}),
        help_text="Shown instead of your username.",
    )


class PasswordForm(forms.Form):
    """Asks for the password before something that cannot be undone."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )


class NewKeyForm(forms.Form):
    """A new API key."""

    name = forms.CharField(
        max_length=api_keys.NAME_LENGTH,
        label="What the key is for",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        initial=[Scope.CHAT, Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        label="Permissions",
    )
    days = forms.TypedChoiceField(
        coerce=int,
        choices=[(30, "30 days"), (90, "90 days"), (365, "a year"), (FOREVER, "never")],
        initial=90,
        label="Expires",
    )
