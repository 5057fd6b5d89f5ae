"""The admin pages of this app's models.

A module named after a model, in the plural, has its pages; `reading_log` has those of
TranscriptReading, `export_log` those of Export. What `session_admin_base` and `messages` have,
agents_app.admin registers. The others hold parts of these, or what several share.
"""
