"""Cleanups: removing sessions in bulk, and restoring them. Nothing else does either.

`run` starts, runs and continues a cleanup with its `options`; `batches` removes and archives, and
`heartbeat` shows that it is alive. `archive` restores or purges what was removed, `archive_search`
finds it, and `keep_reasons` says why other sessions stay.
"""
