"""REST in front of the register's gRPC services. Holds no answer of its own and caches none."""
