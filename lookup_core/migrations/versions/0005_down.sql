DROP TABLE register.lookup_segment_unsealed;
DROP INDEX register.lookup_log_token, register.lookup_segment_sequence;
ALTER TABLE register.lookup_segment
    DROP COLUMN root, DROP COLUMN seed, DROP COLUMN first_sequence, DROP COLUMN last_sequence;
REVOKE SELECT (replica_id, number, sha256) ON register.lookup_segment FROM nser_replica;
GRANT SELECT ON register.lookup_segment TO nser_replica;
REVOKE SELECT ON register.audit_checkpoint FROM nser_replica;
