"""The run on disk: raw frames in Zarr shards, one append-only ledger, and everything that opens a file."""
