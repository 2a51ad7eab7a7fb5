-- What a receipt of a check is made of. A segment's root covers its entries (RFC 6962); the seed salts their leaves, so
-- that a proof of one entry tells nothing of those beside it. Nullable: a replica of the version before writes none, and
-- its segments are not sealed.
ALTER TABLE register.lookup_segment
    ADD COLUMN root           bytea CHECK (length(root) = 32),
    ADD COLUMN seed           bytea CHECK (length(seed) = 32),
    ADD COLUMN first_sequence bigint,
    ADD COLUMN last_sequence  bigint CHECK (last_sequence - first_sequence + 1 >= entries);
-- Which segment an entry is in: the one of its replica that begins at it or before it.
CREATE INDEX lookup_segment_sequence ON register.lookup_segment (replica_id, first_sequence);

-- Segments whose line is not in the audit log yet. Written with the segment's row, deleted with its line: so each is
-- sealed once, whoever dies in between, and what is left to seal is found without looking at what was sealed.
CREATE TABLE register.lookup_segment_unsealed (
    replica_id uuid NOT NULL,
    number     bigint NOT NULL,
    shipped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (replica_id, number),
    FOREIGN KEY (replica_id, number) REFERENCES register.lookup_segment
);

-- Checks of a token by their time. Those of a call are looked for within a few minutes, by the primary key: an index on
-- its id would cost each entry as much again as this one does.
CREATE INDEX lookup_log_token ON register.lookup_log (token, at) WHERE token IS NOT NULL;

-- A replica may store a segment and compare its hash; the seeds of others are not for it to read.
REVOKE SELECT ON register.lookup_segment FROM nser_replica;
GRANT SELECT (replica_id, number, sha256) ON register.lookup_segment TO nser_replica;
GRANT INSERT (replica_id, number) ON register.lookup_segment_unsealed TO nser_replica;
GRANT SELECT, DELETE ON register.lookup_segment_unsealed TO nser_registrar;
-- Segments name the newest checkpoint of the audit log that their replica knew.
GRANT SELECT ON register.audit_checkpoint TO nser_replica;
