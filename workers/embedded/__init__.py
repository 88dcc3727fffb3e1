"""Temporal and PostgreSQL as child processes with one data directory, for `stillmotion dev`.

Start reading with `children` (a process that never outlives us) and `locking` (one data directory,
one stack); `postgres` and `temporal` are the two servers. All compose in one `AsyncExitStack`:

    directory = await stack.enter_async_context(DataDirectory(Path(".stillmotion")))
    postgres = await stack.enter_async_context(EmbeddedPostgres(directory))
    temporal = await stack.enter_async_context(EmbeddedTemporal(directory))
"""
