"""What staff decide about sessions, and the log of what they have read."""
