"""The admin pages of this app's models.

A module named after a model, in the plural, has its pages; `reading_log` has those of
TranscriptReading, `export_log` those of Export, and `session_admin_base` what
agents_app.admin.sessions registers. The others hold parts of these, or what several share.
"""
