"""A witness for transparency logs: it cosigns a checkpoint only when the log still holds all that it held before.

For a party that is not the register, such as a university or the Communications Authority. It speaks C2SP tlog-witness,
keeps one small file for each log, and never cosigns two different trees of one size. It sees no entry of any log.
"""
