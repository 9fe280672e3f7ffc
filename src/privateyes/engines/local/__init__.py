"""The default engine: every client on this machine, no server; clients train in a pool of worker processes."""
