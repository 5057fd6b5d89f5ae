"""The OpenAPI documentation: one page for both APIs."""

import json
from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from agents_app.api.examples import EXAMPLES


class DocsPage(Swagger):
    """Swagger UI on our own page, which fits narrow screens and follows the system's theme."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        openapi_url = self.get_openapi_url(api, kwargs)
        settings = {
            **self.settings,
            "url": openapi_url,
            # By default, a validator on another host checks the schema.
            "validatorUrl": None,
            "defaultModelsExpandDepth": 0,  # collapses the list of schemas
            "defaultModelExpandDepth": 2,  # shows the descriptions of a body's fields
        }
        context = {
            "api": api,
            "openapi_url": openapi_url,
            "swagger_settings": json.dumps(settings),
        }
        return render(request, "agents_app/api_docs.html", context)


class NamedAPI(NinjaAPI):
    """An API whose operation ids are the names of the functions.

    Generated clients name their methods after the ids.
    """

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


class DocumentedAPI(NamedAPI):
    """An API whose documentation includes another API, which is served at another path."""

    def __init__(self, *, beside: NamedAPI, **options: Any) -> None:
        super().__init__(**options)
        self._beside = beside

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        schema = super().get_openapi_schema(**options)
        other = self._beside.get_openapi_schema()
        schema["paths"] |= other["paths"]
        for kind, components in other["components"].items():
            schema["components"].setdefault(kind, {}).update(components)
        for operation in _operations(schema):
            _describe(operation)
        for name, example in EXAMPLES.items():
            schema["components"]["schemas"][name]["examples"] = [example]
        return schema


def _operations(schema: OpenAPISchema) -> Iterator[dict[str, Any]]:
    for methods in schema["paths"].values():
        yield from methods.values()


def _describe(operation: dict[str, Any]) -> None:
    """Use the description's first paragraph as the summary, instead of the function's name."""
    summary, _, details = operation["description"].partition("\n\n")
    operation["summary"] = " ".join(summary.split()).removesuffix(".")
    operation["description"] = details
