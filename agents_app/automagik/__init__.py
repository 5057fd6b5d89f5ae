"""Imports Automagik databases: sources to read them from, and how their rows are stored."""
