"""Django's admin, with this product's site as its default."""

from django.contrib.admin.apps import AdminConfig


class ConsoleConfig(AdminConfig):
    """`admin.site` is config.admin_site.ConsoleSite everywhere, in Django's own modules too."""

    default_site = "config.admin_site.ConsoleSite"
