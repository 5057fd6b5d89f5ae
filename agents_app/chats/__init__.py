"""What a user does with their own chats; services has the use-cases that start a run."""
