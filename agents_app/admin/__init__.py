"""The admin pages of agents and their runs, one module per model."""
