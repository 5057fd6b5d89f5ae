"""Searching sessions: by what was said in them, and by name."""
