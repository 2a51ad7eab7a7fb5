"""The command `nser`: run, watch and use a register from a terminal.

Talks to servers over gRPC and HTTP as every client does; only set-up (`run`, `migrate`, bulk `seed`) opens the
database. Refuses to show a traceback or a secret, but for the one time that a new API key is printed.
"""
