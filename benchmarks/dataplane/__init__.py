"""The table of the native data plane: every row of it, on one filled register, one after the other."""
