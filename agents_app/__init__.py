"""Agents and their runs, and the pages and the API where people and programs chat with them."""
