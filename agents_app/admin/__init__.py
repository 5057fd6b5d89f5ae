"""The admin pages of agents, runs, messages, API keys and feedback, and of sessions.

A module named after a model, in the plural, has its pages; the others hold parts of these, and
`dashboard` the admin's index page.
"""
