"""The HTTP API: /api/v1 for Automagik's clients, /v1 for OpenAI's."""
