"""What is stored (sessions, messages) and what is removed (cleanup runs, their archive)."""
