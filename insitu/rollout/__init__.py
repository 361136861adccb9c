"""Shadow, canary, promote, roll back: what stored runs tell of a candidate (`evidence`), whether that is enough
(`criteria`), and what becomes of it (`steps`)."""
