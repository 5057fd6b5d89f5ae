"""The URLs of accounts: our own, and django-allauth's in our templates."""

from allauth.account.views import logout
from django.urls import include, path

from agents_app.web.accounts import api_key_views as key_views
from agents_app.web.accounts import views

urlpatterns = [
    path("login/", views.login, name="login"),
    path("logout/", logout, name="logout"),
    path("settings/", views.account_settings, name="account-settings"),
    path("theme/", views.choose_theme, name="account-theme"),
    path("logins/", views.end_logins, name="account-end-logins"),
    path("keys/", key_views.keys, name="account-keys"),
    path("keys/<uuid:key_id>/revoke/", key_views.revoke, name="account-key-revoke"),
    path("delete/", views.delete_account, name="account-delete"),
    path("password/reset/", views.PasswordResetView.as_view()),
    path("email/", views.EmailView.as_view()),
    path("", include("allauth.account.urls")),
]
