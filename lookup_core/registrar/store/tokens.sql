-- What the registrar says to PostgreSQL about tokens: who holds and knows one, its successor, its history, and rotations
-- of many. The order of locks is that of queries.sql; a rotation's row is locked before people are.

-- name: token_held
-- Whose a token is, how it stands, and whether an operator had it, or any other of the person's tokens, from us: by
-- asking for it, or in an answer. $1 token, $2 version, $3 the operator.
SELECT held.person_no, held.state,
       EXISTS (SELECT FROM register.bst_token AS one
               JOIN register.bst_cross_reference AS known USING (token)
               WHERE one.person_no = held.person_no AND known.operator_id = $3)
       OR EXISTS (SELECT FROM register.bst_token AS one
                  CROSS JOIN LATERAL (SELECT FROM register.lookup_log AS asked
                                      WHERE asked.token = one.token AND asked.operator_id = $3 LIMIT 1) AS told
                  WHERE one.person_no = held.person_no) AS is_known
FROM register.bst_token AS held WHERE held.token = $1 AND held.version = $2

-- name: retire_tokens
-- $1 tokens, $2 states.
UPDATE register.bst_token AS old SET state = retired.state
FROM unnest($1::bytea[], $2::text[]) AS retired(token, state) WHERE old.token = retired.token

-- name: knowers
SELECT known.token, known.operator_id, operator.token_kind
FROM register.bst_cross_reference AS known JOIN register.operator AS operator USING (operator_id)
WHERE known.token = ANY($1) ORDER BY known.token, known.operator_id

-- name: pass_on
-- Who knew the old token knows the new one, and since when it knew the old: a time that all operators share would tell
-- two of them, with tokens of their own, that they mean one person. $1 new tokens, $2 old ones, $3 operators.
INSERT INTO register.bst_cross_reference (token, operator_id, first_seen_at)
SELECT passed.new, passed.operator_id, known.first_seen_at
FROM unnest($1::bytea[], $2::bytea[], $3::uuid[]) AS passed(new, old, operator_id)
JOIN register.bst_cross_reference AS known ON known.token = passed.old AND known.operator_id = passed.operator_id
ON CONFLICT DO NOTHING

-- name: tell
-- $1 event ids, $2 people, $3 events, $4 payloads, $5 operators, $6 revision.
INSERT INTO register.outbox (event_id, person_no, event, payload, operator_id, revision)
SELECT told.event_id, told.person_no, told.event, told.payload::jsonb, told.operator_id, $6
FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::uuid[])
     AS told(event_id, person_no, event, payload, operator_id)

-- name: start_rotation
INSERT INTO register.token_rotation (rotation_id, digest, operator_id, minted_from, minted_to, listed, revokes, is_dry_run,
                                     reason, actor, origin, correlation_id, started_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (rotation_id) DO NOTHING RETURNING rotation_id

-- name: list_rotation
INSERT INTO register.token_rotation_list (rotation_id, token, version)
SELECT $1, listed.token, listed.version FROM unnest($2::bytea[], $3::smallint[]) AS listed(token, version)
ON CONFLICT DO NOTHING

-- name: kind_of_operator
SELECT token_kind FROM register.operator WHERE operator_id = $1

-- name: rotation
SELECT rotation.*, operator.name AS operator, operator.token_kind
FROM register.token_rotation AS rotation LEFT JOIN register.operator AS operator USING (operator_id)
WHERE rotation.rotation_id = $1

-- name: lock_rotation
SELECT rotation_id FROM register.token_rotation WHERE rotation_id = $1 FOR UPDATE

-- name: claim_rotation
-- Of several registrars one goes on, and the others leave it alone.
SELECT rotation_id FROM register.token_rotation WHERE rotation_id = $1 AND state = 'running' FOR UPDATE SKIP LOCKED

-- name: rotations
-- One page, the newest first. $1 and $2: after which; $3 how many.
SELECT rotation.*, operator.name AS operator, operator.token_kind
FROM register.token_rotation AS rotation LEFT JOIN register.operator AS operator USING (operator_id)
WHERE (rotation.started_at, rotation.rotation_id) < ($1, $2)
ORDER BY rotation.started_at DESC, rotation.rotation_id DESC LIMIT $3

-- name: running_rotations
SELECT rotation_id FROM register.token_rotation WHERE state = 'running' ORDER BY started_at, rotation_id

-- name: gather_until
-- Where a piece of the lookup log ends that has some $3 entries. $1 from, $2 until.
SELECT at FROM register.lookup_log WHERE at > $1 AND at <= $2 ORDER BY at OFFSET $3 LIMIT 1

-- name: gather
-- Answers tell tokens without writing anything down but the log (a look-up never writes): what an operator was told in a
-- piece of the log becomes what it knows. $1 operator, $2 from, $3 until.
INSERT INTO register.bst_cross_reference (token, operator_id, first_seen_at)
SELECT log.token, log.operator_id, min(log.at)
FROM register.lookup_log AS log JOIN register.bst_token USING (token)
WHERE log.operator_id = $1 AND log.at > $2 AND log.at <= $3 GROUP BY log.token, log.operator_id
ON CONFLICT DO NOTHING

-- name: gathered
UPDATE register.token_rotation SET gathered_at = $2 WHERE rotation_id = $1

-- name: pass_operator
-- The next tokens that an operator knows, however they stand, so that a group is bounded. $1 the rotation's operator,
-- $2 the token to go on after, $3 how many.
SELECT one.token, one.version, one.person_no, one.state, one.created_at, one.rotation_id
FROM (SELECT token FROM register.bst_cross_reference WHERE operator_id = $1 AND token > $2 ORDER BY token LIMIT $3) AS known
JOIN register.bst_token AS one USING (token) ORDER BY one.token

-- name: pass_minted
-- $1 from, $2 to, $3 and $4 the place to go on after, $5 how many.
SELECT token, version, person_no, state, created_at, rotation_id FROM register.bst_token
WHERE created_at >= $1 AND created_at < $2 AND (created_at, token) > ($3, $4) ORDER BY created_at, token LIMIT $5

-- name: pass_list
-- $1 the rotation, $2 the token to go on after, $3 how many. What the register does not know has no person.
SELECT listed.token, listed.version, one.person_no, one.state, one.created_at, one.rotation_id
FROM (SELECT token, version FROM register.token_rotation_list
      WHERE rotation_id = $1 AND token > $2 ORDER BY token LIMIT $3) AS listed
LEFT JOIN register.bst_token AS one USING (token, version) ORDER BY listed.token

-- name: move_rotation
-- $1 rotation, $2 and $3 the place, $4 passed, $5 rotated, $6 revoked, $7 unknown, $8 revision, $9 request id.
UPDATE register.token_rotation
SET cursor_at = $2, cursor_token = $3, passed = passed + $4, rotated = rotated + $5, revoked = revoked + $6,
    unknown = unknown + $7, revision = coalesce($8, revision), request_id = coalesce($9, request_id)
WHERE rotation_id = $1

-- name: end_rotation
UPDATE register.token_rotation SET state = $2, ended_at = $3 WHERE rotation_id = $1

-- name: tokens_of
-- All tokens of a person, and whether an operator had any from us. $1 one of them and $2 its version, or $4 the person;
-- $3 the operator.
SELECT one.token, one.version,
       EXISTS (SELECT FROM register.bst_cross_reference AS known
               WHERE known.token = one.token AND known.operator_id = $3)
       OR EXISTS (SELECT FROM register.lookup_log AS log WHERE log.token = one.token AND log.operator_id = $3) AS is_known
FROM register.bst_token AS one
WHERE one.person_no = coalesce($4, (SELECT person_no FROM register.bst_token WHERE token = $1 AND version = $2))

-- name: in_order
-- Before `history`, in its transaction: the planner, who takes everybody for an average person, would read and sort all
-- that was ever done with a token; so it reads the newest from the end of an index instead. What it takes for the price of
-- a sort that is not to be would have it compile the query for a second.
SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL jit = off

-- name: history
-- One page of what was done with a person's tokens, newest first: checks, who was told one, and audited acts. Each
-- token's rows are read from the end of an index, and no more of them than the page has and what happened at its last
-- instant.
-- $1 the tokens, $2 the same as text, $3 only this operator's, or NULL; $4 and $5 the place to go on after; $6 how many.
WITH checked AS (
    SELECT used.* FROM unnest($1::bytea[]) AS mine(token) CROSS JOIN LATERAL (
        SELECT log.at, 'c' || log.replica_id || lpad(log.sequence::text, 20, '0') COLLATE "C" AS tie, log.operator_id,
               'checked' AS action, log.purpose
        FROM register.lookup_log AS log
        WHERE log.token = mine.token AND log.at <= $4 AND ($3::uuid IS NULL OR log.operator_id = $3)
          AND (log.at, 'c' || log.replica_id || lpad(log.sequence::text, 20, '0') COLLATE "C") < ($4, $5)
        ORDER BY log.at DESC FETCH FIRST $6 ROWS WITH TIES
    ) AS used
), audited AS (
    SELECT used.* FROM unnest($2::text[]) AS mine(written) CROSS JOIN LATERAL (
        SELECT entry.at, 'a' || lpad(entry.entry_id::text, 20, '0') COLLATE "C" AS tie, key.operator_id,
               substr(entry.action, 5) AS action, entry.reason AS purpose
        FROM register.audit_entry AS entry LEFT JOIN register.api_key AS key
                  ON entry.actor LIKE 'key %' AND key.key_id = substr(entry.actor, 5)
        WHERE entry.subject = mine.written AND entry.action LIKE 'bst.%' AND entry.at <= $4
          AND ($3::uuid IS NULL OR key.operator_id = $3)
          AND (entry.at, 'a' || lpad(entry.entry_id::text, 20, '0') COLLATE "C") < ($4, $5)
        ORDER BY entry.at DESC FETCH FIRST $6 ROWS WITH TIES
    ) AS used
), disclosed AS (
    -- A successor is told from the time on from which its operator knew the person: one telling, not two.
    SELECT known.first_seen_at AS at, ('d' || known.operator_id) COLLATE "C" AS tie, known.operator_id,
           'disclosed' AS action, '' AS purpose
    FROM register.bst_cross_reference AS known
    WHERE known.token = ANY($1) AND ($3::uuid IS NULL OR known.operator_id = $3)
    GROUP BY known.operator_id, known.first_seen_at
)
SELECT entry.at, entry.tie, entry.action, entry.purpose, coalesce(operator.name, '') AS operator
FROM (SELECT * FROM checked UNION ALL SELECT * FROM audited UNION ALL SELECT * FROM disclosed) AS entry
LEFT JOIN register.operator AS operator USING (operator_id)
WHERE (entry.at, entry.tie) < ($4, $5) ORDER BY entry.at DESC, entry.tie DESC LIMIT $6
