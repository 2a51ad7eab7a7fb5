-- What the registrar says to PostgreSQL, by name (about tokens: tokens.sql). The order within a writing transaction is: the request id, the
-- identifiers (sorted), people (sorted) or a key, and the counter last (SAFETY.md 10). READ COMMITTED: each statement
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
SELECT person.*, held.tokens, held.versions, held.states, held.minted_at
FROM register.feed_person AS person
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
-- $1 people, $2 kinds, $3 blind indexes, $4 key version.
INSERT INTO register.identifier (kind, blind, key_version, person_no)
SELECT named.kind, named.blind, $4, named.person_no
FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS named(person_no, kind, blind)
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
-- $1 tokens, $2 kinds, $3 blind indexes, $4 key version.
INSERT INTO register.bst_mapping (token, kind, blind, key_version)
SELECT mapped.token, mapped.kind, mapped.blind, $4
FROM unnest($1::bytea[], $2::text[], $3::bytea[]) AS mapped(token, kind, blind)
ON CONFLICT DO NOTHING

-- name: disclose
INSERT INTO register.bst_cross_reference (token, operator_id) SELECT known.token, $2 FROM unnest($1::bytea[]) AS known(token)
ON CONFLICT DO NOTHING

-- name: personal_data
SELECT kek_id, wrapped_key, version, phone, document, date_of_birth, first_name, last_name, email, support_person,
       verification_receipt
FROM register.person_pii WHERE person_no = $1

-- name: keep_personal_data
-- The row is its person's alone, and the person is locked.
INSERT INTO register.person_pii (person_no, kek_id, wrapped_key, version, phone, document, date_of_birth, first_name,
                                 last_name, email, support_person, verification_receipt)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (person_no) DO UPDATE
SET kek_id = excluded.kek_id, wrapped_key = excluded.wrapped_key, version = excluded.version, phone = excluded.phone,
    document = excluded.document, date_of_birth = excluded.date_of_birth, first_name = excluded.first_name,
    last_name = excluded.last_name, email = excluded.email, support_person = excluded.support_person,
    verification_receipt = excluded.verification_receipt, updated_at = now()

-- name: person_of
-- Whose an exclusion is never changes, so this is read before the lock.
SELECT person_no FROM register.exclusion WHERE exclusion_id = $1

-- name: exclusion
-- `agreed_at` is when the term in force was chosen: the newest of its terms.
SELECT e.exclusion_id, e.person_no, e.period, e.state, e.effective_at, e.expires_at, e.release_requested_at,
       e.released_at, e.channel, e.county, e.revision,
       (SELECT max(p.begins_at) FROM register.exclusion_period AS p WHERE p.exclusion_id = e.exclusion_id) AS agreed_at,
       live.token, live.version AS token_version
FROM register.exclusion AS e
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
INSERT INTO register.operator (operator_id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING

-- name: lock_operator
-- NO KEY UPDATE: a registration that holds the counter refers to every operator, and must not wait for us.
SELECT operator_id, name, state = 'active' AS is_active FROM register.operator WHERE name = $1 FOR NO KEY UPDATE

-- name: enter_key
INSERT INTO register.api_key (key_id, operator_id, mac, scopes, requests_per_second, people_per_second, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (key_id) DO NOTHING RETURNING key_id

-- name: lock_key
SELECT key_id FROM register.api_key WHERE key_id = $1 FOR UPDATE

-- name: key
SELECT k.key_id, k.mac, k.scopes, k.requests_per_second, k.people_per_second, k.state = 'active' AS is_active,
       k.created_at, o.operator_id, o.name, o.state = 'active' AS operator_is_active
FROM register.api_key AS k JOIN register.operator AS o USING (operator_id) WHERE k.key_id = $1

-- name: keys
-- One page, in the order of ids: each goes on after the last id of the one before, so a key that is entered meanwhile
-- shifts nothing. $1 the operator, or NULL for all; $2 the id to go on after; $3 how many.
SELECT k.key_id, k.mac, k.scopes, k.requests_per_second, k.people_per_second, k.state = 'active' AS is_active,
       k.created_at, o.operator_id, o.name, o.state = 'active' AS operator_is_active
FROM register.api_key AS k JOIN register.operator AS o USING (operator_id)
WHERE k.key_id > $2 AND ($1::uuid IS NULL OR k.operator_id = $1) ORDER BY k.key_id LIMIT $3

-- name: revoke_key
UPDATE register.api_key SET state = 'revoked', revoked_at = coalesce(revoked_at, now()) WHERE key_id = $1

-- name: position
SELECT revision FROM register.head

-- name: take_counter
-- The last lock of every writing transaction: the order of revisions is the order of commits, without a gap.
SELECT revision, digest FROM register.head FOR UPDATE

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
-- $1 actors, $2 actions, $3 subjects, $4 origins, $5 reasons, $6 correlation ids, $7 request ids, $8 revisions.
INSERT INTO register.audit_entry (actor, action, subject, origin, reason, correlation_id, request_id, revision)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::uuid[], $8::bigint[])

-- name: look
-- Who holds some identifiers and what token they have, from one snapshot and without a lock. $1 kinds, $2 blind
-- indexes, $3 the operator who asks.
SELECT head.revision, held.kind, held.blind, held.person_no, live.token, live.version, live.created_at,
       EXISTS (SELECT FROM register.identifier AS other
               WHERE other.person_no = held.person_no AND other.kind = 'document') AS has_document,
       EXISTS (SELECT FROM register.bst_cross_reference AS known
               WHERE known.token = live.token AND known.operator_id = $3) AS is_known
FROM register.head AS head
LEFT JOIN (unnest($1::text[], $2::bytea[]) AS named(kind, blind)
           JOIN register.identifier AS held ON held.kind = named.kind AND held.blind = named.blind) ON true
LEFT JOIN register.bst_token AS live ON live.person_no = held.person_no AND live.state = 'live'

-- name: token_state
SELECT state FROM register.bst_token WHERE token = $1 AND version = $2

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
INSERT INTO register.head (store_id, revision, digest, key_version) VALUES ($1, 0, $2, $3) ON CONFLICT DO NOTHING

-- name: found_beginning
-- Revision 0: what a replica that loaded an empty register proves its history with.
INSERT INTO register.change (revision, statements, digest) VALUES (0, ''::bytea, $1) ON CONFLICT DO NOTHING

-- name: founded
SELECT store_id, revision, digest, key_version, recovering FROM register.head

-- name: newest_changes
-- The newest two, to see whether our feed key continues this chain.
SELECT revision, statements, digest FROM register.change ORDER BY revision DESC LIMIT 2

-- name: ensure_lookup_log
SELECT register.ensure_lookup_log(2)

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
