"""Reviews of sessions by staff, and the log of the transcripts that they have read."""
