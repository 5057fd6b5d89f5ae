"""The admin pages of this app's models.

A module named after a model, in the plural, has its pages. agents_app.admin registers the classes
of `session_admin_base` and `messages`. The other modules have parts of these, or what they share.
"""
