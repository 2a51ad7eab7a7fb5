-- Who may do what. Roles belong to the cluster: they are made once, and the set-up gives them passwords.
-- Settings are set by role, because pooled sessions leak SET (SAFETY.md 17).
DO $$
DECLARE
    name text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('nser roles'));
    FOREACH name IN ARRAY ARRAY['nser_registrar', 'nser_replica', 'nser_backoffice'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', name);
            EXECUTE format('ALTER ROLE %I SET statement_timeout = ''5s''', name);
            EXECUTE format('ALTER ROLE %I SET lock_timeout = ''4s''', name);
            EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''10s''', name);
            EXECUTE format('ALTER ROLE %I SET timezone = ''UTC''', name);
        END IF;
    END LOOP;
    -- A snapshot of a whole country takes longer than a statement of the feed.
    -- Only where it is not so yet: roles are the cluster's, and two databases that are migrated at once would collide.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'nser_replica' AND 'statement_timeout=10min' = ANY (rolconfig)) THEN
        ALTER ROLE nser_replica SET statement_timeout = '10min';
    END IF;
END $$;

GRANT USAGE ON SCHEMA register TO nser_registrar, nser_replica, nser_backoffice;

GRANT SELECT ON ALL TABLES IN SCHEMA register TO nser_registrar;
GRANT INSERT ON register.head, register.change, register.operator, register.api_key, register.person,
    register.person_pii, register.identifier, register.exclusion, register.exclusion_period,
    register.operator_exclusion, register.bst_token, register.bst_mapping, register.bst_cross_reference,
    register.audit_entry, register.request, register.outbox TO nser_registrar;
GRANT UPDATE ON register.operator, register.api_key, register.person, register.person_pii, register.exclusion,
    register.bst_token, register.outbox TO nser_registrar;
GRANT UPDATE (revision, digest) ON register.head TO nser_registrar;
GRANT DELETE ON register.replica TO nser_registrar;
GRANT EXECUTE ON FUNCTION register.timeline(), register.ensure_lookup_log(integer), register.prune_changes()
    TO nser_registrar;

GRANT SELECT ON register.head, register.change, register.replica, register.feed_person, register.feed_key TO nser_replica;
GRANT INSERT ON register.replica, register.lookup_log TO nser_replica;
GRANT SELECT ON register.lookup_log TO nser_replica;
GRANT UPDATE (applied, digest, grant_no, granted_until, released) ON register.replica TO nser_replica;
GRANT EXECUTE ON FUNCTION register.timeline() TO nser_replica;

GRANT SELECT ON register.report_exclusion TO nser_backoffice;
REVOKE EXECUTE ON FUNCTION register.ensure_lookup_log(integer), register.prune_changes() FROM PUBLIC;
