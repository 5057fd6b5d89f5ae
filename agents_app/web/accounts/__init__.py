"""The pages of accounts: logging in, settings, API keys."""
