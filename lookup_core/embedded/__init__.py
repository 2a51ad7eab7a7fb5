"""Real PostgreSQL and Redis servers for `make run` and the tests, in a folder of our own, as root or not.

Refuses to be a production deployment: loopback only, one machine, no backups. Standard library only, so that it works
before anything else does.
"""
