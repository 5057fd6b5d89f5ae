"""Language models: model strings, clients, the embedded model, and errors for users."""
