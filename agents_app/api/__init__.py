"""The HTTP API: /api/v1 for Automagik's clients, /v1 for OpenAI's.

`urls` combines the routers of the other modules into the NinjaAPI object of /api/v1; that of /v1 is
in `openai`.
"""
