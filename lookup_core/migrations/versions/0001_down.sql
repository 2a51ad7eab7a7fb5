DO $$
DECLARE
    thing record;
BEGIN
    FOR thing IN SELECT viewname FROM pg_views WHERE schemaname = 'register' LOOP
        EXECUTE format('DROP VIEW register.%I CASCADE', thing.viewname);
    END LOOP;
    FOR thing IN SELECT tablename FROM pg_tables WHERE schemaname = 'register' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DROP TABLE IF EXISTS register.%I CASCADE', thing.tablename);
    END LOOP;
    DROP FUNCTION register.timeline(), register.ensure_lookup_log(integer), register.prune_changes(),
        register.forbid_change();
    REVOKE USAGE ON SCHEMA register FROM nser_registrar, nser_replica, nser_backoffice;
END $$;
