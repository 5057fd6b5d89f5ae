"""Conversations for models: rows to messages and back, trimming, and where rows are stored."""
