"""REST in front of the register's gRPC services.

It holds no key, no answer and no personal data: the caller's key goes through, and each answer is the register's own,
given to the very request that asked.
"""
