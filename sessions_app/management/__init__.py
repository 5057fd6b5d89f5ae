"""The command line of sessions."""
