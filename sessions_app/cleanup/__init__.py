"""Cleanups: removing sessions in bulk, and restoring them. Nothing else does either.

`run` starts, runs and continues a cleanup; `archive` restores what one removed, or purges it;
`archive_search` finds removed sessions. `options` has what a cleanup can be asked.
"""
