"""`nser keys`: the register's own keys. Operators' API keys are another group, `nser api-keys`."""
