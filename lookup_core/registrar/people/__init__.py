"""People in the register: how they are found, bound to identifiers, given tokens, and their personal data kept."""
