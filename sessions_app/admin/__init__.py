"""The admin pages of this app's models.

A module named after a model, in the plural, has its pages, and `reading_log` those of
TranscriptReading; the others hold parts of these, or what several share.
"""
