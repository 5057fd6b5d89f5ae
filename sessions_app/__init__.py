"""The stored sessions and messages, and the cleanups that remove sessions."""
