"""The admin pages of this app's models.

A module named after a model, in the plural, has its pages, `reading_log` those of
TranscriptReading, and `export_log` those of Export; the others hold parts of these, or what several
share.
"""
