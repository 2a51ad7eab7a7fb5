-- What the registrar says to PostgreSQL, by name (about tokens: tokens.sql). The order within a writing transaction is:
-- the request id, the identifiers (sorted), people (sorted) or a key, the counter (SAFETY.md 10), and the audit log last.
-- READ COMMITTED: each statement
-- sees what was committed before it began, so what must hold is read again after its lock was taken.

-- name: lock
-- Waits for everybody who holds one of these numbers; they end with the transaction. The array is sorted by the caller
-- and unnest keeps its order, so that two who want the same numbers never wait for each other. A statement of its own:
-- the next one must see what the other transaction committed.
SELECT count(pg_advisory_xact_lock(key)) FROM unnest($1::bigint[]) AS key

-- name: answer_to
SELECT digest, answer, revision FROM register.request WHERE request_id = $1

-- name: holdings
-- Who holds which of the named identifiers, and whether they have any document. $1 kinds, $2 blind indexes.
SELECT held.kind, held.blind, held.person_no,
       EXISTS (SELECT FROM register.identifier AS other
               WHERE other.person_no = held.person_no AND other.kind = 'document') AS has_document
FROM unnest($1::text[], $2::bytea[]) AS named(kind, blind)
JOIN register.identifier AS held ON held.kind = named.kind AND held.blind = named.blind

-- name: lock_people
-- In the order of their numbers. What is read of them is read by the next statement, after the locks were had.
SELECT person_no FROM register.person WHERE person_no = ANY($1) ORDER BY person_no FOR UPDATE

-- name: people
-- `held` are all tokens of a person, oldest first, as four arrays.
SELECT person.*, mine.pairwise_generation, held.tokens, held.versions, held.states, held.minted_at
FROM register.feed_person AS person JOIN register.person AS mine USING (person_no)
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(token ORDER BY created_at, token), '{}') AS tokens,
           coalesce(array_agg(version ORDER BY created_at, token), '{}') AS versions,
           coalesce(array_agg(state ORDER BY created_at, token), '{}') AS states,
           coalesce(array_agg(created_at ORDER BY created_at, token), '{}') AS minted_at
    FROM register.bst_token AS one WHERE one.person_no = person.person_no
) AS held
WHERE person.person_no = ANY($1)

-- name: new_people
INSERT INTO register.person (created_at) SELECT now() FROM generate_series(1, $1::integer) RETURNING person_no

-- name: bind
-- $1 people, $2 kinds, $3 blind indexes, $4 their versions.
INSERT INTO register.identifier (kind, blind, key_version, person_no)
SELECT named.kind, named.blind, named.key_version, named.person_no
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::smallint[]) AS named(person_no, kind, blind, key_version)
ON CONFLICT (kind, blind, person_no) DO NOTHING

-- name: insert_tokens
-- A token that somebody has already is left out and minted again with another nonce. $1 tokens, $2 people, $3 when,
-- $4 versions, $5 versions of the salt, $6 the tokens that they replace, $7 the bulk rotations that they are made by.
INSERT INTO register.bst_token (token, person_no, created_at, version, salt_version, replaces, rotation_id)
SELECT minted.token, minted.person_no, minted.created_at, minted.version, minted.salt_version, minted.replaces,
       minted.rotation_id
FROM unnest($1::bytea[], $2::bigint[], $3::timestamptz[], $4::smallint[], $5::smallint[], $6::bytea[], $7::uuid[])
     AS minted(token, person_no, created_at, version, salt_version, replaces, rotation_id)
ON CONFLICT (token) DO NOTHING RETURNING token

-- name: map_tokens
-- $1 tokens, $2 kinds, $3 blind indexes, $4 their versions; none for a form that is taken from whoever holds it.
INSERT INTO register.bst_mapping (token, kind, blind, key_version)
SELECT mapped.token, mapped.kind, mapped.blind,
       coalesce(mapped.key_version, (SELECT held.key_version FROM register.identifier AS held
                                     WHERE held.kind = mapped.kind AND held.blind = mapped.blind LIMIT 1))
FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::smallint[]) AS mapped(token, kind, blind, key_version)
ON CONFLICT DO NOTHING

-- name: disclose
-- The person's global token stands here for whichever token the operator was given of them: its kind is the operator's.
-- Gives since when the operator has known each; those who are new come with `is_new`. $1 tokens, $2 the operator.
WITH given AS (
    INSERT INTO register.bst_cross_reference (token, operator_id)
    SELECT told.token, $2 FROM unnest($1::bytea[]) AS told(token)
    ON CONFLICT DO NOTHING RETURNING token, first_seen_at
)
SELECT token, first_seen_at, true AS is_new FROM given
UNION ALL
SELECT token, first_seen_at, false FROM register.bst_cross_reference WHERE token = ANY($1) AND operator_id = $2

-- name: turn_generation
-- The person is locked. $1 person_no.
UPDATE register.person SET pairwise_generation = pairwise_generation + 1 WHERE person_no = $1

-- name: personal_data
SELECT person_no, kek_id, wrapped_key, version, manifest, phone, document, date_of_birth, first_name, last_name, email,
       support_person, verification_receipt
FROM register.person_pii WHERE person_no = $1

-- name: keep_personal_data
-- The row is its person's alone, and the person is locked. Nothing is written under a master key that was retired.
-- $6 whether the data key is a new one.
INSERT INTO register.person_pii (person_no, kek_id, wrapped_key, version, manifest, phone, document, date_of_birth,
                                 first_name, last_name, email, support_person, verification_receipt)
SELECT $1::bigint, $2::text, $3::bytea, $4::integer, $5::bytea, $7::bytea, $8::bytea, $9::bytea, $10::bytea,
       $11::bytea, $12::bytea, $13::bytea, $14::bytea
WHERE NOT EXISTS (SELECT FROM register.retired_kek AS retired WHERE retired.kek_id = $2)
ON CONFLICT (person_no) DO UPDATE
SET kek_id = excluded.kek_id, wrapped_key = excluded.wrapped_key, version = excluded.version,
    manifest = excluded.manifest, phone = excluded.phone, document = excluded.document,
    date_of_birth = excluded.date_of_birth, first_name = excluded.first_name, last_name = excluded.last_name,
    email = excluded.email, support_person = excluded.support_person,
    verification_receipt = excluded.verification_receipt, updated_at = now(), shredded_at = NULL,
    keyed_at = CASE WHEN $6::boolean THEN now() ELSE person_pii.keyed_at END
RETURNING person_no

-- name: shred_personal_data
-- The version moves on, so that no field of the time before fits a later row.
UPDATE register.person_pii
SET wrapped_key = NULL, manifest = NULL, phone = NULL, document = NULL, date_of_birth = NULL, first_name = NULL,
    last_name = NULL, email = NULL, support_person = NULL, verification_receipt = NULL, version = version + 1,
    shredded_at = now(), updated_at = now()
WHERE person_no = $1 AND shredded_at IS NULL

-- name: shredded_at
SELECT shredded_at FROM register.person_pii WHERE person_no = $1

-- name: person_of_token
SELECT person_no FROM register.bst_token WHERE token = $1

-- name: person_of
-- Whose an exclusion is never changes, so this is read before the lock.
SELECT person_no FROM register.exclusion WHERE exclusion_id = $1

-- name: exclusion
-- `agreed_at` is when the term in force was chosen: the newest of its terms.
SELECT e.exclusion_id, e.person_no, e.period, e.state, e.effective_at, e.expires_at, e.release_requested_at,
       e.released_at, e.channel, e.county, e.revision,
       (SELECT max(p.begins_at) FROM register.exclusion_period AS p WHERE p.exclusion_id = e.exclusion_id) AS agreed_at,
       live.token, live.version AS token_version, mine.pairwise_generation
FROM register.exclusion AS e JOIN register.person AS mine USING (person_no)
LEFT JOIN register.bst_token AS live ON live.person_no = e.person_no AND live.state = 'live'
WHERE e.exclusion_id = $1

-- name: enter_exclusion
-- Under the counter's lock, so all in one statement: the exclusion, its first term, and whom it binds.
WITH entered AS (
    INSERT INTO register.exclusion (exclusion_id, person_no, period, state, effective_at, expires_at, effective_date,
                                    expiry_date, channel, county, revision)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
), agreed AS (
    INSERT INTO register.exclusion_period (exclusion_id, revision, period, begins_at, ends_at, legal_source)
    VALUES ($1, $11, $3, $5, $6, $12)
)
INSERT INTO register.operator_exclusion (exclusion_id, operator_id, revision)
SELECT $1, operator_id, $11 FROM register.operator WHERE state = 'active'

-- name: extend_exclusion
WITH extended AS (
    UPDATE register.exclusion
    SET period = $2, state = $3, expires_at = $4, expiry_date = $5, release_requested_at = NULL, revision = $6
    WHERE exclusion_id = $1
)
INSERT INTO register.exclusion_period (exclusion_id, revision, period, begins_at, ends_at, legal_source)
VALUES ($1, $6, $2, $7, $4, $8)

-- name: enter_operator
-- The kind of its tokens is chosen here, and never changed. $1 operator_id, $2 name, $3 kind.
INSERT INTO register.operator (operator_id, name, token_kind) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING

-- name: lock_operator
-- NO KEY UPDATE: a registration that holds the counter refers to every operator, and must not wait for us.
SELECT operator_id, name, state = 'active' AS is_active, token_kind FROM register.operator WHERE name = $1 FOR NO KEY UPDATE

-- name: enter_key
INSERT INTO register.api_key (key_id, operator_id, mac, scopes, requests_per_second, people_per_second, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id) DO NOTHING RETURNING key_id

-- name: lock_key
SELECT key_id FROM register.api_key WHERE key_id = $1 FOR UPDATE

-- name: key
SELECT k.key_id, k.mac, k.scopes, k.requests_per_second, k.people_per_second, k.state = 'active' AS is_active,
       k.created_at, o.operator_id, o.name, o.state = 'active' AS operator_is_active, o.token_kind
FROM register.api_key AS k JOIN register.operator AS o USING (operator_id) WHERE k.key_id = $1

-- name: keys
-- One page, in the order of ids: each goes on after the last id of the one before, so a key that is entered meanwhile
-- shifts nothing. $1 the operator, or NULL for all; $2 the id to go on after; $3 how many.
SELECT k.key_id, k.mac, k.scopes, k.requests_per_second, k.people_per_second, k.state = 'active' AS is_active,
       k.created_at, o.operator_id, o.name, o.state = 'active' AS operator_is_active, o.token_kind
FROM register.api_key AS k JOIN register.operator AS o USING (operator_id)
WHERE k.key_id > $2 AND ($1::uuid IS NULL OR k.operator_id = $1) ORDER BY k.key_id LIMIT $3

-- name: revoke_key
UPDATE register.api_key SET state = 'revoked', revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1

-- name: position
SELECT revision FROM register.head

-- name: take_counter
-- The last lock of every writing transaction: the order of revisions is the order of commits, without a gap.
SELECT revision, digest, key_version, key_announced, key_check FROM register.head FOR UPDATE

-- name: record
-- Under the counter's lock, so all in one statement; each of request and event only where there is one. The wake-up is
-- sent by PostgreSQL at the commit, and nothing depends on it.
-- $1 revision, $2 statements, $3 digest, $4 request_id, $5 request digest, $6 answer, $7 event_id, $8 event,
-- $9 person_no, $10 payload, $11 whether to wake.
WITH stated AS (
    INSERT INTO register.change (revision, statements, digest, request_id) VALUES ($1, $2, $3, $4)
), kept AS (
    INSERT INTO register.request (request_id, digest, answer, revision) SELECT $4, $5, $6, $1 WHERE $4::uuid IS NOT NULL
), told AS (
    INSERT INTO register.outbox (event_id, person_no, event, payload, revision)
    SELECT $7, $9, $8, $10::jsonb, $1 WHERE $7::uuid IS NOT NULL
), moved AS (
    UPDATE register.head SET revision = $1, digest = $3
)
SELECT pg_notify('nser_change', ($1::bigint)::text) WHERE $11

-- name: audit
-- Locks the log's counter until the commit: the order of entries is the order of commits, without a gap. The arrays are
-- in the order of the entry's columns, and an entry's place in them is its place in the log.
WITH head AS (
    UPDATE register.audit_head SET size = size + cardinality($1::bytea[]) RETURNING size - cardinality($1::bytea[]) AS begins
)
INSERT INTO register.audit_entry (entry_id, salt, at, revision, request_id, actor, action, subject, origin, reason,
                                  correlation_id)
SELECT head.begins + line.place - 1, line.salt, line.at, line.revision, line.request_id, line.actor, line.action,
       line.subject, line.origin, line.reason, line.correlation_id
FROM head, unnest($1::bytea[], $2::timestamptz[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::text[],
                  $9::text[], $10::text[]) WITH ORDINALITY
     AS line(salt, at, revision, request_id, actor, action, subject, origin, reason, correlation_id, place)

-- name: audit_name
-- The log's name is given once. $1 the name for a log that has none.
UPDATE register.audit_head SET origin = coalesce(origin, $1) RETURNING origin

-- name: audit_tile
INSERT INTO register.audit_tile (level, tile, hashes, root) VALUES ($1, $2, $3, $4)

-- name: audit_checkpoint
INSERT INTO register.audit_checkpoint (size, note) VALUES ($1, $2)

-- name: audit_cosignature
INSERT INTO register.audit_cosignature (size, witness, line) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: look
-- Who holds some identifiers and what token they have, from one snapshot and without a lock. $1 kinds, $2 blind
-- indexes, $3 the operator who asks.
SELECT head.revision, held.kind, held.blind, held.person_no, live.token, live.version, live.created_at,
       EXISTS (SELECT FROM register.identifier AS other
               WHERE other.person_no = held.person_no AND other.kind = 'document') AS has_document,
       (SELECT known.first_seen_at FROM register.bst_cross_reference AS known
        WHERE known.token = live.token AND known.operator_id = $3) AS known_since,
       (SELECT p.pairwise_generation FROM register.person AS p WHERE p.person_no = held.person_no) AS pairwise_generation
FROM register.head AS head
LEFT JOIN (unnest($1::text[], $2::bytea[]) AS named(kind, blind)
           JOIN register.identifier AS held ON held.kind = named.kind AND held.blind = named.blind) ON true
LEFT JOIN register.bst_token AS live ON live.person_no = held.person_no AND live.state = 'live'

-- name: newest_rotation
-- For everybody who holds a ring: to which master key personal data goes.
SELECT kek_id FROM register.key_rotation ORDER BY started_at DESC LIMIT 1

-- name: token_state
SELECT state FROM register.bst_token WHERE token = $1 AND version = $2

-- name: pairwise_generation
SELECT pairwise_generation FROM register.person WHERE person_no = $1

-- name: count_total
SELECT 'total' AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2)

-- name: count_period
SELECT period AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2) GROUP BY 1

-- name: count_state
SELECT state AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2) GROUP BY 1

-- name: count_county
SELECT coalesce(county, 0)::text AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2) GROUP BY 1

-- name: count_channel
SELECT channel AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2) GROUP BY 1

-- name: count_month
SELECT to_char(effective_date, 'YYYY-MM') AS cell, count(*) AS people FROM register.report_exclusion
WHERE ($1::date IS NULL OR effective_date >= $1) AND ($2::date IS NULL OR effective_date <= $2) GROUP BY 1

-- name: reading
-- One statement, one snapshot: the rows of all replicas that are not released, and which of the requests asked about are
-- committed (SAFETY.md 8). Run after the commit of what is waited for, never in its transaction: a grant that this
-- snapshot does not see is committed later, so the read that follows it sees the revision. $1 request ids.
SELECT register.timeline() AS timeline, head.store_id, head.revision,
       array(SELECT replica_id FROM register.replica WHERE NOT released ORDER BY replica_id) AS replica_ids,
       array(SELECT applied FROM register.replica WHERE NOT released ORDER BY replica_id) AS applied,
       array(SELECT grant_no FROM register.replica WHERE NOT released ORDER BY replica_id) AS grant_nos,
       array(SELECT request_id FROM register.request WHERE request_id = ANY($1) ORDER BY request_id) AS request_ids,
       array(SELECT revision FROM register.request WHERE request_id = ANY($1) ORDER BY request_id) AS revisions
FROM register.head AS head

-- name: replicas
-- For `nser status`.
SELECT replica.replica_id, replica.address, replica.host, replica.pid, replica.applied, replica.grant_no,
       head.revision - replica.applied AS lag
FROM register.replica AS replica, register.head AS head WHERE NOT replica.released ORDER BY replica.started_at

-- name: found_head
INSERT INTO register.head (store_id, revision, digest, key_version, key_check) VALUES ($1, 0, $2, $3, $4)
ON CONFLICT DO NOTHING

-- name: found_beginning
-- Revision 0: what a replica that loaded an empty register proves its history with.
INSERT INTO register.change (revision, statements, digest) VALUES (0, ''::bytea, $1) ON CONFLICT DO NOTHING

-- name: founded
SELECT store_id, revision, digest, key_version, key_announced, key_check, recovering FROM register.head

-- name: newest_changes
-- The newest two, to see whether our feed key continues this chain.
SELECT revision, statements, digest FROM register.change ORDER BY revision DESC LIMIT 2

-- name: live_versions
-- Of the blind index: what a transaction is prepared by. What holds is read again under the counter's lock (SAFETY.md 22).
SELECT key_version, key_announced, key_check FROM register.head

-- name: replicas_without_key
-- Replicas that took a grant lately and have no key of this version, for people who are about to announce it.
SELECT address, host, pid FROM register.replica
WHERE NOT released AND key_version < $1 AND granted_until > now() - interval '10 seconds' ORDER BY address

-- name: become_mover
-- One registrar moves identifiers at a time; the others look again later. Ends with the transaction.
SELECT pg_try_advisory_xact_lock(hashtext('nser blind move'))

-- name: older_identifiers
-- Every older form of the next people who have one, by number. $1 the older version, $2 the number to go on after, $3 how
-- many people.
SELECT held.kind, held.blind, held.person_no
FROM (SELECT DISTINCT person_no FROM register.identifier
      WHERE key_version = $1 AND person_no > $2 ORDER BY person_no LIMIT $3) AS next
JOIN register.identifier AS held USING (person_no) WHERE held.key_version = $1

-- name: held_in_forms
-- Who holds identifiers in the named forms; after these were locked. $1 kinds, $2 blind indexes.
SELECT held.kind, held.blind, held.person_no FROM unnest($1::text[], $2::bytea[]) AS named(kind, blind)
JOIN register.identifier AS held ON held.kind = named.kind AND held.blind = named.blind

-- name: older_mappings
-- $1 people, who are locked; $2 the older version.
SELECT mapped.token, mapped.kind, mapped.blind, minted.person_no
FROM register.bst_token AS minted JOIN register.bst_mapping AS mapped USING (token)
WHERE minted.person_no = ANY($1) AND mapped.key_version = $2

-- name: rewrap_identifiers
-- $1 people, $2 kinds, $3 older forms, $4 newer forms, $5 their version.
UPDATE register.identifier AS held SET blind = moved.newer, key_version = $5
FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::bytea[]) AS moved(person_no, kind, older, newer)
WHERE held.kind = moved.kind AND held.blind = moved.older AND held.person_no = moved.person_no AND held.key_version < $5

-- name: rewrap_mappings
-- $1 tokens, $2 kinds, $3 older forms, $4 newer forms, $5 their version.
UPDATE register.bst_mapping AS held SET blind = moved.newer, key_version = $5
FROM unnest($1::bytea[], $2::text[], $3::bytea[], $4::bytea[]) AS moved(token, kind, older, newer)
WHERE held.token = moved.token AND held.kind = moved.kind AND held.blind = moved.older AND held.key_version < $5

-- name: has_older
-- Whether anything is left to move. $1 the newer version.
SELECT EXISTS (SELECT FROM register.identifier WHERE key_version < $1)
    OR EXISTS (SELECT FROM register.bst_mapping WHERE key_version < $1)

-- name: announce_version
UPDATE register.head SET key_announced = $1, key_check = $2

-- name: finish_version
UPDATE register.head SET key_version = $1, key_announced = NULL

-- name: ensure_lookup_log
SELECT register.ensure_lookup_log(2)

-- name: ensure_audit_log
SELECT register.ensure_audit_log(2)

-- name: sweep_abandoned
-- Rows whose last grant ran out by our clock (SAFETY.md 5, 7), while nothing was granted since. $1 ids, $2 grant numbers.
DELETE FROM register.replica AS replica USING unnest($1::uuid[], $2::bigint[]) AS seen(replica_id, grant_no)
WHERE replica.replica_id = seen.replica_id AND replica.grant_no = seen.grant_no

-- name: sweep_idle
-- Loaders that never took a grant, and rows that were given back after their lease was disarmed: neither has a lease,
-- and neither can take a grant without a row. The hour is for people who look; no lease hangs on it.
DELETE FROM register.replica WHERE (grant_no = 0 OR released) AND started_at < now() - interval '1 hour'

-- name: prune_changes
-- What may go is decided in the function, which alone may delete from the feed (SAFETY.md 6).
SELECT count(*) FROM register.prune_changes()

-- name: unsealed_segments
-- Those that wait longest; gone with the line that seals them, or there again when its transaction fails. Another
-- registrar that takes the same ones waits for us, and then has none of them. $1 how many.
WITH taken AS (
    DELETE FROM register.lookup_segment_unsealed WHERE (replica_id, number) IN
        (SELECT replica_id, number FROM register.lookup_segment_unsealed ORDER BY shipped_at, replica_id, number LIMIT $1)
    RETURNING replica_id, number, shipped_at
)
SELECT replica_id, number, segment.entries, segment.sha256, segment.root, segment.checkpoint
FROM taken JOIN register.lookup_segment AS segment USING (replica_id, number)
WHERE segment.root IS NOT NULL ORDER BY taken.shipped_at, replica_id, number

-- name: checks_by_token
-- A page of an operator's checks. $1 operator, $2 token, $3 and $4 from and to, $5 to $7 the check to go on after,
-- $8 how many.
SELECT at, replica_id, sequence FROM register.lookup_log
WHERE operator_id = $1 AND token = $2 AND at >= $3 AND at < $4 AND (at, replica_id, sequence) > ($5, $6, $7)
ORDER BY at, replica_id, sequence LIMIT $8

-- name: checks_by_correlation
-- As checks_by_token; $2 the caller's own id of the call. Reads all of the log between $3 and $4, by its primary key.
SELECT at, replica_id, sequence FROM register.lookup_log
WHERE operator_id = $1 AND correlation_id = $2 AND at >= $3 AND at < $4 AND (at, replica_id, sequence) > ($5, $6, $7)
ORDER BY at, replica_id, sequence LIMIT $8

-- name: segment_of
-- The segment that an entry is in. $1 replica_id, $2 sequence.
SELECT replica_id, number, entries, first_at, last_at, first_sequence, last_sequence, seed
FROM register.lookup_segment WHERE replica_id = $1 AND first_sequence <= $2 ORDER BY first_sequence DESC LIMIT 1

-- name: segment_rows
-- The entries of a segment as they were hashed: in their order, with the columns of lookup_core.domain.lookup_segment.
-- $1 replica_id, $2 and $3 first and last time, $4 and $5 first and last sequence, $6 one more than there should be.
SELECT at, replica_id, sequence, operator_id, key_id, purpose, outcome, basis, token, revision, correlation_id
FROM register.lookup_log
WHERE replica_id = $1 AND at BETWEEN $2 AND $3 AND sequence BETWEEN $4 AND $5 ORDER BY sequence LIMIT $6

-- name: waits_to_be_sealed
SELECT FROM register.lookup_segment_unsealed WHERE replica_id = $1 AND number = $2

-- name: seal_of
-- The line of a segment in the audit log. $1 its subject.
SELECT min(entry_id) AS entry_id FROM register.audit_entry WHERE subject = $1 AND action = 'lookup.segment_sealed'

-- name: cosigned_size
-- $1 how many entries it must cover.
SELECT min(size) AS size FROM register.audit_cosignature WHERE size >= $1
