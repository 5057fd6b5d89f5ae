"""Cleanups: removing sessions in bulk, and restoring them. Nothing else does either.

`run` starts, runs and continues a cleanup: `options` has what it can be asked, `batches` removes
and archives, `heartbeat` says that it is alive. `archive` restores what one removed, or purges it;
`archive_search` finds removed sessions.
"""
