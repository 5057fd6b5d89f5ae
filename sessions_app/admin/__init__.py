"""The admin pages of this app's models.

A module named after a model, in the plural, contains its pages; `reading_log` contains those of
TranscriptReading, `export_log` those of Export. agents_app.admin registers subclasses of the
classes in `session_admin_base` and `messages`. The other modules contain parts of these pages, or
code that they share.
"""
