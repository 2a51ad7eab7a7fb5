"""The contract of the self-exclusion register. Generated packages are below; nothing here is written by hand."""
