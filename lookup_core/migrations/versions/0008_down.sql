DROP TABLE register.retired_kek, register.key_rotation;
ALTER TABLE register.person_pii DROP CONSTRAINT person_pii_shredded;
DELETE FROM register.person_pii WHERE wrapped_key IS NULL OR phone IS NULL;
ALTER TABLE register.person_pii
    DROP COLUMN manifest, DROP COLUMN keyed_at, DROP COLUMN shredded_at,
    ALTER COLUMN wrapped_key SET NOT NULL, ALTER COLUMN phone SET NOT NULL;
