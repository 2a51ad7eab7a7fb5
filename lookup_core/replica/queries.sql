-- What a replica says to PostgreSQL. It reads the feed and writes its own row and the lookup log; nothing else.

-- name: enrol
-- A new row for every process start, without a grant (SAFETY.md 5). $1 replica_id, $2 key_version, $3 address,
-- $4 host, $5 pid.
INSERT INTO register.replica (replica_id, store_id, applied, digest, key_version, address, host, pid)
SELECT $1, store_id, 0, ''::bytea, $2, $3, $4, $5 FROM register.head

-- name: grant
-- The first statement of a poll: report what is applied, buy one lease. A transaction of its own (SAFETY.md 4). It
-- matches no row unless this store has the named revision with the named digest, under keys that we have, and is not
-- recovering (SAFETY.md 13, 14, 22). Revision 0 has no change: its digest follows from the store id, which is compared.
-- $1 replica_id, $2 store_id, $3 revision, $4 digest, $5 the newest version of the blind index that we have the key of.
UPDATE register.replica AS mine
SET applied = $3, digest = $4, grant_no = mine.grant_no + 1, granted_until = now() + interval '2 seconds',
    key_version = $5
FROM register.head AS head
WHERE mine.replica_id = $1 AND NOT mine.released
  AND mine.store_id = $2 AND head.store_id = $2
  AND coalesce(head.key_announced, head.key_version) <= $5
  AND NOT head.recovering
  AND ($3 = 0
       OR (head.revision = $3 AND head.digest = $4)
       OR EXISTS (SELECT FROM register.change AS held WHERE held.revision = $3 AND held.digest = $4))

-- name: read
-- The second statement of a poll: head, our own row and what came after $2, all of one snapshot that is newer than the
-- grant's commit. `here` is computed once, not for every change. $1 replica_id, $2 revision, $3 how many changes.
WITH here AS MATERIALIZED (
    SELECT head.store_id, head.revision, head.digest, head.key_version, head.key_announced, head.key_check,
           register.timeline() AS timeline,
           CASE WHEN head.revision = $2 THEN head.digest
                ELSE (SELECT held.digest FROM register.change AS held WHERE held.revision = $2) END AS known_digest,
           EXISTS (SELECT FROM register.replica AS mine
                   WHERE mine.replica_id = $1 AND NOT mine.released AND mine.store_id = head.store_id) AS enrolled,
           (SELECT count(*) FROM register.replica AS live
            WHERE NOT live.released AND live.granted_until > now()) AS live_replicas
    FROM register.head AS head
)
SELECT here.*, news.revision AS change_revision, news.statements AS change_statements, news.digest AS change_digest
FROM here LEFT JOIN LATERAL (
    SELECT change.revision, change.statements, change.digest FROM register.change
    WHERE change.revision > $2 ORDER BY change.revision LIMIT $3
) AS news ON true
ORDER BY news.revision

-- name: release
-- After the lease was disarmed (SAFETY.md 5).
UPDATE register.replica SET released = true WHERE replica_id = $1

-- name: load_head
-- The position that a snapshot is stamped with (SAFETY.md 6); first statement of a REPEATABLE READ transaction.
SELECT store_id, revision, digest, key_version, key_announced, key_check FROM register.head

-- name: load_person
SELECT person_no, risk_level, requires_screening, last_assessment_ms, pairwise_generation FROM register.load_person

-- name: load_identifier
SELECT person_no, is_phone, blind FROM register.load_identifier

-- name: load_token
SELECT person_no, token, state FROM register.load_token

-- name: load_exclusion
SELECT person_no, exclusion_id, is_released FROM register.load_exclusion

-- name: load_keys
SELECT key_id, mac, operator_id, scopes, requests_per_second, people_per_second, active, has_pairwise_tokens
FROM register.feed_key

-- name: log_segment
-- First in the transaction that stores a segment's entries: who finds the row there has nothing to store. Nothing comes
-- back then. What is new waits to be sealed. $1 replica_id, $2 number, $3 entries, $4 and $5 microseconds since 1970,
-- $6 sha256, $7 previous, $8 checkpoint, $9 root, $10 seed, $11 first and $12 last sequence.
WITH stored AS (
    INSERT INTO register.lookup_segment (replica_id, number, entries, first_at, last_at, sha256, previous_sha256,
                                         checkpoint, root, seed, first_sequence, last_sequence)
    VALUES ($1, $2, $3, timestamptz 'epoch' + $4::bigint * interval '1 microsecond',
            timestamptz 'epoch' + $5::bigint * interval '1 microsecond', $6, $7, $8, $9, $10, $11, $12)
    ON CONFLICT DO NOTHING
    RETURNING replica_id, number
), queued AS (
    INSERT INTO register.lookup_segment_unsealed (replica_id, number) SELECT replica_id, number FROM stored
)
SELECT number FROM stored

-- name: logged_segment
SELECT sha256 FROM register.lookup_segment WHERE replica_id = $1 AND number = $2

-- name: newest_checkpoint
-- Of the audit log, for the headers of segments.
SELECT note FROM register.audit_checkpoint ORDER BY size DESC LIMIT 1
