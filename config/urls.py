"""The URLs of the site."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from agents_app.web.accounts.views import admin_login
from config.health import healthz
from config.metrics import metrics

handler400 = "config.errors.bad_request"
handler429 = "config.errors.too_many_requests"  # django-allauth's name for it
handler500 = "config.errors.server_error"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("metrics", metrics, name="metrics"),
    path("accounts/", include("agents_app.web.accounts.urls")),
    path("admin/login/", admin_login),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url=static("agents_app/icon.svg"))),
    path("", include("agents_app.api.urls")),
    path("", include("agents_app.web.urls")),
]
