"""The URLs of the API, and those of Automagik's paths that it does not support."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from agents_app.api import agents, cleanup, health, openai, openai_errors, runs, sessions, users
from agents_app.api.documentation import DocsPage, DocumentedAPI
from agents_app.api.error_routing import with_json_errors
from agents_app.api.errors import error_response, install_handlers, on_error

# Automagik's paths that are not supported, with the details of the responses.
UNSUPPORTED = {
    "tools": "Tools are part of the agents, and have no endpoints",
    "mcp": "MCP servers are not part of this product",
    "workflows": "Workflows are not part of this product",
    "analytics": "Analytics are not part of this product; see /metrics",
    "prompts": "An agent's system prompt is edited in the admin",
    "memories": "Memories are not part of this API yet",
    "agent/create": "Agents are created in the admin",
    "agent/{id}/copy": "Agents are created in the admin",
    "messages": "Messages are stored by runs, and read with their sessions",
    "agent/{id}": "Agents are edited in the admin, and listed at /api/v1/agents",
    "agent/{id}/prompt": "An agent's system prompt is edited in the admin",
    "agent/{id}/prompt/{id}": "An agent's system prompt is edited in the admin",
    "agent/{id}/prompt/{id}/activate": "An agent's system prompt is edited in the admin",
}

_USE_CHAT = """
new DefaultChatTransport({
  api: "https://chat.example.org/api/v1/agent/simple/run",
  headers: { "X-API-Key": key, Accept: "text/event-stream" },
  prepareSendMessagesRequest: ({ headers, messages }) => ({
    headers,
    body: {
      message_content: messages.at(-1).parts.map((part) => part.text ?? "").join(""),
      session_id: messages.findLast((message) => message.metadata)?.metadata.session_id,
    },
  }),
})
"""

_DESCRIPTION = f"""
Run agents, and read and manage their sessions. A session exists only because somebody asked for
it: requests that fail or only read never create one.

Send an API key in the `X-API-Key` header, or as a bearer token. Errors have a `detail` for people
and a `code` for programs. These routes of Automagik are not supported, and return 404:
{", ".join(f"`/{name}`" for name in UNSUPPORTED)}.

The paths under `/v1` are compatible with OpenAI's API: any of its clients can call them, and errors
have its format.

Once a message is stored, no response has a status that clients retry automatically. A request whose
response was lost can be repeated safely with the same `Idempotency-Key`. Clients that repeat
requests automatically, as OpenAI's and the Vercel AI SDK do, have to be configured to send one: use
a new key for each message.

The Vercel AI SDK's `useChat` shows a run as it is streamed, with the transport below. A browser
must not have the key: let your own server add it and forward the requests.

```js{_USE_CHAT}```
"""

# In the order of the documentation.
_GROUPS = [
    {"name": "agents", "description": "The agents that can be run."},
    {"name": "runs", "description": "Run agents: synchronously, streamed or in the background."},
    {"name": "sessions", "description": "Sessions and their messages."},
    {"name": "users", "description": "For keys that act for other people, such as a channel's."},
    {"name": "cleanup", "description": "For staff: remove phantom sessions that nobody asked for."},
    {"name": openai.TAG, "description": "For any client of OpenAI's API."},
    {"name": "health", "description": "For monitoring."},
]

api = DocumentedAPI(
    beside=openai.api,
    title=f"{settings.PRODUCT_NAME} API",
    version="1",
    description=_DESCRIPTION,
    urls_namespace="api",
    docs=DocsPage(),
    docs_url="/docs",
    openapi_url="/openapi.json",
    openapi_extra={"tags": _GROUPS},
)
# Before the paths of sessions, one of which would match "cleanup" as a session's name.
api.add_router("", cleanup.router)
api.add_router("", sessions.router)
api.add_router("", agents.router)
api.add_router("", runs.router)
api.add_router("", users.router)
api.add_router("", health.router)
install_handlers(api, on_error)


@csrf_exempt
def not_found(request: HttpRequest, rest: str = "") -> HttpResponse:
    """404 as JSON for a path that does not exist."""
    parts = rest.rstrip("/").split("/")
    for path_of_automagik, instead in UNSUPPORTED.items():
        names = path_of_automagik.split("/")
        # A single name also matches all paths below it.
        found = parts if len(names) > 1 else parts[:1]
        if len(names) == len(found) and all(
            name in {part, "{id}"} for name, part in zip(names, found, strict=True)
        ):
            return error_response(404, "not_part_of_this_product", f"{instead}.")
    text = f"There is nothing at {request.path}; /api/v1/docs lists all paths."
    return error_response(404, "not_found", text)


urlpatterns = [
    path("api/v1/", with_json_errors(api.urls, on_error)),
    re_path(r"^api/v1(?:/(?P<rest>[\s\S]*))?$", not_found),
    path("api/", lambda request: redirect("api:openapi-view")),
    path("v1/", with_json_errors(openai.api.urls, openai_errors.on_error)),
    re_path(r"^v1(?:/(?P<rest>[\s\S]*))?$", openai_errors.not_found),
]
