"""How dates and times look, by language: Django looks for them here."""
