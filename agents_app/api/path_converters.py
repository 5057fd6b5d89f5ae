"""The converter `any` for paths; a module with such a path imports this one, which registers it."""

from django.urls import register_converter
from django.urls.converters import StringConverter


class AnyConverter(StringConverter):
    """Matches any text: names may contain slashes and line breaks."""

    regex = r"[\s\S]+"


register_converter(AnyConverter, "any")
