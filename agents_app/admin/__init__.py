"""The admin pages of agents, runs, API keys and feedback, and a session with its conversation.

A module named after a model, in the plural, has its pages; the others hold parts of these, and
`dashboard` the admin's index page.
"""
