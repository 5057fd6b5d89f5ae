"""What users do with their own chats; use-cases that start a run are in agents_app.services."""
