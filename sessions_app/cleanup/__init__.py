"""Cleanups: removing sessions in bulk, and restoring them. Nothing else does either."""
