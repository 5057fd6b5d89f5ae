"""The chat pages, and those of accounts: views, forms, and what the pages read and show."""
