"""Conversations for models: converting rows to messages and back, trimming, and storage."""
