-- What a replica says to PostgreSQL. It reads the feed and writes its own row and the lookup log; nothing else.

-- name: enrol
-- A new row for every process start, without a grant (SAFETY.md 5). $1 replica_id, $2 key_version, $3 address,
-- $4 host, $5 pid.
INSERT INTO register.replica (replica_id, store_id, applied, digest, key_version, address, host, pid)
SELECT $1, store_id, 0, ''::bytea, $2, $3, $4, $5 FROM register.head

-- name: grant
-- The first statement of a poll: report what is applied, buy one lease. A transaction of its own (SAFETY.md 4). It
-- matches no row unless this store has the named revision with the named digest, under our key, and is not recovering
-- (SAFETY.md 13, 14). Revision 0 has no change: its digest follows from the store id, which is compared.
-- $1 replica_id, $2 store_id, $3 revision, $4 digest, $5 key_version.
UPDATE register.replica AS mine
SET applied = $3, digest = $4, grant_no = mine.grant_no + 1, granted_until = now() + interval '2 seconds'
FROM register.head AS head
WHERE mine.replica_id = $1 AND NOT mine.released
  AND mine.store_id = $2 AND head.store_id = $2
  AND mine.key_version = $5 AND head.key_version = $5
  AND NOT head.recovering
  AND ($3 = 0
       OR (head.revision = $3 AND head.digest = $4)
       OR EXISTS (SELECT FROM register.change AS held WHERE held.revision = $3 AND held.digest = $4))

-- name: read
-- The second statement of a poll: head, our own row and what came after $2, all of one snapshot that is newer than the
-- grant's commit. `here` is computed once, not for every change. $1 replica_id, $2 revision, $3 how many changes.
WITH here AS MATERIALIZED (
    SELECT head.store_id, head.revision, head.digest, register.timeline() AS timeline,
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
SELECT store_id, revision, digest, key_version FROM register.head

-- name: load_people
SELECT person_no, phones, documents, token, rotated_tokens, revoked_tokens, risk_level, requires_screening,
       last_assessment, previously_excluded, exclusions
FROM register.feed_person

-- name: load_keys
SELECT key_id, mac, operator_id, scopes, requests_per_second, people_per_second, active FROM register.feed_key

-- name: log_lookups
-- At least once from us, exactly once in the table: (at, replica_id, sequence) is the entry's own name. What all
-- entries of one call have in common is sent once, outcomes as one byte for each entry ($10, an index into $11 and $12),
-- tokens for those entries alone that have one ($13 their places, $14). $1 replica_id; of calls: $2 at, $3 operator_id,
-- $4 key_id, $5 purpose, $6 correlation_id, $7 revision, $8 first sequence, $9 how many entries.
INSERT INTO register.lookup_log (at, replica_id, sequence, operator_id, key_id, purpose, outcome, basis, token,
                                 revision, correlation_id)
SELECT call.at, $1, call.first + number, call.operator_id, call.key_id, call.purpose,
       ($11::text[])[get_byte($10, call.place::integer + number) + 1],
       ($12::text[])[get_byte($10, call.place::integer + number) + 1],
       known.token, call.revision, call.correlation_id
FROM (
    SELECT *, sum(entries) OVER (ORDER BY nth) - entries AS place
    FROM unnest($2::timestamptz[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                $9::integer[]) WITH ORDINALITY
         AS sent(at, operator_id, key_id, purpose, correlation_id, revision, first, entries, nth)
) AS call
CROSS JOIN LATERAL generate_series(0, call.entries - 1) AS number
LEFT JOIN unnest($13::integer[], $14::bytea[]) AS known(place, token) ON known.place = call.place::integer + number
ON CONFLICT DO NOTHING
