"""Language models: what names them, the clients that reach them, and their errors in words."""
