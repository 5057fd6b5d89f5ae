"""Cleanups: removing sessions in bulk, and restoring them. Nothing else does either.

`run` starts, runs and continues a cleanup with its `options`; `batches` removes and archives, and
`heartbeat` shows that it is alive. `archive_search` finds what was removed, `restoring` restores
it, and `purging` deletes what has expired. `keep_reasons` says why other sessions
stay, and `querysets` has the named queries on runs.
"""
