"""The users' accounts, their API keys, and how other systems know them."""
