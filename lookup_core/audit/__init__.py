"""The audit log as it lies in PostgreSQL and in files: reading, proving and checking it. Writes nothing."""
