"""Who answers (agents), and where chats start."""
