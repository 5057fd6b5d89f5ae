"""Rendering a message: Markdown, code, formulas and links, as sanitised HTML."""
