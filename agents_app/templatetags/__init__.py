"""The template tags and filters of the chat pages."""
