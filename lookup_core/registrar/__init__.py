"""The write side of the register: one module for each use case, `store/` for PostgreSQL, `rpc/` for gRPC.

Refuses to answer checks: that is `lookup_core.replica`, which this package never imports.
"""
