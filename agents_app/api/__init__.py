"""The HTTP API: /api/v1 for Automagik's clients, /v1 for OpenAI's.

The NinjaAPI object of the one is in `urls`, which puts the routers of the other modules together;
that of the other is in `openai`.
"""
