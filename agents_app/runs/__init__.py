"""Answering: runs that are worked on in the background, and watched while they are."""
