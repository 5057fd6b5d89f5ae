"""The URLs of accounts: our own, and django-allauth's in our templates."""

from allauth.account import views as allauth_views
from django.urls import include, path

from agents_app.web.accounts import api_key_views as key_views
from agents_app.web.accounts import views
from agents_app.web.login_required import login_required

urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", allauth_views.logout, name="logout"),
    path("settings/", views.account_settings, name="account-settings"),
    path("theme/", views.choose_theme, name="account-theme"),
    path("logins/", views.end_logins, name="account-end-logins"),
    path("keys/", key_views.keys, name="account-keys"),
    path("keys/<uuid:key_id>/revoke/", key_views.revoke, name="account-key-revoke"),
    path("delete/", views.delete_account, name="account-delete"),
    path("password/reset/", views.PasswordResetView.as_view()),
    # Those of django-allauth that need a login ask for it as all other pages do.
    path("email/", login_required(views.EmailView.as_view())),
    path("password/change/", login_required(allauth_views.password_change)),
    path("password/set/", login_required(allauth_views.password_set)),
    path("reauthenticate/", login_required(allauth_views.reauthenticate)),
    path("", include("allauth.account.urls")),
]
