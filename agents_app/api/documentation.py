"""The OpenAPI documentation: one page for all that programs can call."""

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
    """Swagger UI on a page of ours, which fits narrow screens and follows the system's theme."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        openapi_url = self.get_openapi_url(api, kwargs)
        settings = {
            **self.settings,
            "url": openapi_url,
            # By default it shows what a validator on another host thinks of the schema.
            "validatorUrl": None,
            "defaultModelsExpandDepth": 0,  # the list of schemas is folded
            "defaultModelExpandDepth": 2,  # what an operation takes shows what its fields are for
        }
        context = {
            "api": api,
            "openapi_url": openapi_url,
            "swagger_settings": json.dumps(settings),
        }
        return render(request, "agents_app/api_docs.html", context)


class NamedAPI(NinjaAPI):
    """An API whose operations are named after their functions.

    Programs that generate clients call the methods so.
    """

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


class DocumentedAPI(NamedAPI):
    """An API whose documentation describes another one too, which has an address of its own."""

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
    """Have the list of operations say what each does, instead of its function's name."""
    summary, _, details = operation["description"].partition("\n\n")
    operation["summary"] = " ".join(summary.split()).removesuffix(".")
    operation["description"] = details
