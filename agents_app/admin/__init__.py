"""The admin pages of agents, runs, messages, API keys and feedback, and of sessions.

A module named after a model, in the plural, contains its pages, and `dashboard` the admin's index
page. The other modules contain parts of these pages.
"""
