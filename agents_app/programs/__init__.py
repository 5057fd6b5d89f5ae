"""Runs that programs request, in sessions by id or name, one at a time in each."""
