-- Moving personal data to another master key. What is done is decided in rotate_personal_data.py.

-- name: rotation_under_way
-- One registrar does a chunk at a time; another finds the row locked, and comes back.
SELECT rotation_id, kind, kek_id, pass, position, changed, total, done, refused, started_at
FROM register.key_rotation WHERE state = 'running' FOR UPDATE SKIP LOCKED

-- name: people_to_rotate
-- Locks people in the order of their numbers, as every writer does, from $1 on up to $2; what is in their rows is read
-- by the next statement, after the locks were had. $3 the kind, $4 the master key, $5 when the rotation began, $6 how many.
SELECT person.person_no FROM register.person_pii AS pii JOIN register.person AS person USING (person_no)
WHERE pii.person_no > $1 AND pii.person_no <= $2 AND pii.wrapped_key IS NOT NULL
  AND CASE WHEN $3 = 'rewrap' THEN pii.kek_id <> $4 ELSE pii.kek_id <> $4 OR pii.keyed_at < $5 END
ORDER BY pii.person_no LIMIT $6 FOR NO KEY UPDATE OF person

-- name: personal_data_of
SELECT person_no, kek_id, wrapped_key, version, manifest, phone, document, date_of_birth, first_name, last_name, email,
       support_person, verification_receipt
FROM register.person_pii WHERE person_no = ANY($1) AND wrapped_key IS NOT NULL ORDER BY person_no

-- name: last_person
SELECT coalesce(max(person_no), 0) FROM register.person_pii

-- name: rewrap
-- $1 people, $2 the master key, $3 wrapped keys.
UPDATE register.person_pii AS pii SET kek_id = $2, wrapped_key = moved.wrapped_key
FROM unnest($1::bigint[], $3::bytea[]) AS moved(person_no, wrapped_key) WHERE pii.person_no = moved.person_no

-- name: save_key_rotation
UPDATE register.key_rotation
SET pass = $2, position = $3, changed = $4, done = $5, refused = $6, state = $7, updated_at = now(),
    finished_at = CASE WHEN $7 = 'done' THEN now() END
WHERE rotation_id = $1

-- name: start_key_rotation
-- By the owner's role alone. One that runs is turned to the newer master key, and begins anew. People are counted for
-- those who look; what is done does not hang on it.
INSERT INTO register.key_rotation AS running (rotation_id, kind, kek_id, total)
SELECT $1::uuid, $2::text, $3::text, count(*) FROM register.person_pii
WHERE wrapped_key IS NOT NULL AND ($2 = 'reencrypt' OR kek_id <> $3)
ON CONFLICT (state) WHERE state = 'running' DO UPDATE
SET kind = CASE WHEN running.kind = 'reencrypt' THEN running.kind ELSE excluded.kind END, kek_id = excluded.kek_id,
    pass = 1, position = 0, changed = 0, total = excluded.total, done = 0, refused = 0, started_at = now(),
    updated_at = now()
RETURNING rotation_id, kind, total

-- name: retire_kek
INSERT INTO register.retired_kek (kek_id) VALUES ($1) ON CONFLICT DO NOTHING

-- name: unretire_kek
DELETE FROM register.retired_kek WHERE kek_id = $1

-- name: is_kek_retired
SELECT EXISTS (SELECT FROM register.retired_kek WHERE kek_id = $1)

-- name: transaction_id
SELECT pg_current_xact_id()::text

-- name: everybody_is_later
-- Whether no transaction is left that began before $1 ended: everybody now sees what it committed.
SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::text::xid8

-- name: wrapped_by
SELECT count(*) FROM register.person_pii WHERE kek_id = $1 AND wrapped_key IS NOT NULL

-- name: on_master_keys
-- For `nser keys status`: rows by master key and by the form of their bytes.
SELECT kek_id, get_byte(manifest, 0) AS form, count(*) AS people FROM register.person_pii
WHERE wrapped_key IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2

-- name: shredded
SELECT count(*) FROM register.person_pii WHERE shredded_at IS NOT NULL

-- name: on_blind_versions
SELECT key_version, count(*) AS identifiers FROM register.identifier GROUP BY 1 ORDER BY 1

-- name: key_rotations
SELECT rotation_id, kind, kek_id, state, pass, position, total, done, refused, started_at, updated_at, finished_at
FROM register.key_rotation ORDER BY started_at DESC LIMIT 5

-- name: retired_keks
SELECT kek_id, retired_at FROM register.retired_kek ORDER BY retired_at
