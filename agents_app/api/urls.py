"""The URLs of the API, and the paths that Automagik has and this product has not."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path, re_path
from django.views.decorators.csrf import csrf_exempt

from agents_app.api import agents, cleanup, health, openai, openai_errors, runs, sessions, users
from agents_app.api.documentation import DocsPage, DocumentedAPI
from agents_app.api.error_routing import with_json_errors
from agents_app.api.errors import error_response, install_handlers, on_error

# What Automagik serves under these names, with what this product says instead.
UNSUPPORTED = {
    "tools": "Tools are part of the agents here, and have no address",
    "mcp": "MCP servers are not part of this product",
    "workflows": "Workflows are not part of this product",
    "analytics": "Analytics are not part of this product; /metrics has figures",
    "prompts": "An agent's system prompt is edited in the admin",
    "memories": "Memories are not part of this API yet",
    "agent/create": "Agents are created in the admin",
    "agent/{id}/copy": "Agents are created in the admin",
    "messages": "Messages are stored by runs, and read with their sessions",
    "agent/{id}": "Agents are edited in the admin, and /api/v1/agents lists them",
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
it: nothing that fails, and nothing that only reads, makes one.

Send an API key in the `X-API-Key` header, or as a bearer token. Errors have a `detail` for people
and a `code` for programs. Of Automagik's routes, these answer 404:
{", ".join(f"`/{name}`" for name in UNSUPPORTED)}.

The paths under `/v1` are OpenAI's, for any client that people have; their errors are in its shape.

Once a message is stored, no answer has a status that clients repeat by themselves. A request whose
answer was lost on the way can be repeated safely with the `Idempotency-Key` that it had. Clients
that repeat such requests by themselves, as OpenAI's and the Vercel AI SDK do, send none unless they
are told to: give each message a key of its own.

The Vercel AI SDK's `useChat` shows a run as it is streamed, with the transport below. A browser
must not have the key: let a server of yours add it, and pass on the requests.

```js{_USE_CHAT}```
"""

# In the order of the documentation.
_GROUPS = [
    {"name": "agents", "description": "Who can be asked."},
    {"name": "runs", "description": "Asking an agent: at once, as a stream or in the background."},
    {"name": "sessions", "description": "What was said."},
    {"name": "users", "description": "For keys that act for other people, such as a channel's."},
    {"name": "cleanup", "description": "For staff: removing sessions that nobody asked for."},
    {"name": openai.TAG, "description": "For any client of OpenAI's."},
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
# Before the sessions' own paths, one of which would take "cleanup" for a session's name.
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
        # A single name stands for all below it.
        found = parts if len(names) > 1 else parts[:1]
        if len(names) == len(found) and all(
            name in {part, "{id}"} for name, part in zip(names, found, strict=True)
        ):
            return error_response(404, "not_part_of_this_product", f"{instead}.")
    text = f"There is nothing at {request.path}; /api/v1/docs lists what there is."
    return error_response(404, "not_found", text)


urlpatterns = [
    path("api/v1/", with_json_errors(api.urls, on_error)),
    re_path(r"^api/v1(?:/(?P<rest>[\s\S]*))?$", not_found),
    path("api/", lambda request: redirect("api:openapi-view")),
    path("v1/", with_json_errors(openai.api.urls, openai_errors.on_error)),
    re_path(r"^v1(?:/(?P<rest>[\s\S]*))?$", openai_errors.not_found),
]
