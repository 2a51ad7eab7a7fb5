"""The register kernel: the rules, the write side and the read side of the self-exclusion register."""
