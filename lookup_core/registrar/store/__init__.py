"""Where the register is kept: the port that the use cases see, and PostgreSQL behind it."""
