"""The admin pages of this app's models: one module per model, and what they share."""
