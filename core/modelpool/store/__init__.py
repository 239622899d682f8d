"""Where results and input images live: a folder, S3, or memory for tests. See :func:`modelpool.store.open.open_store`."""
