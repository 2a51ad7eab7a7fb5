"""The register: people, identifiers, exclusions, tokens, keys, changes, replicas, audit, outbox; roles and grants."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    here = Path(__file__).parent
    op.get_bind().exec_driver_sql((here / "0001_register.sql").read_text())
    op.get_bind().exec_driver_sql((here / "0001_roles.sql").read_text())


def downgrade() -> None:
    """Drop what is in the schema. The roles stay: they belong to the cluster, and other databases use them."""
    op.get_bind().exec_driver_sql(
        """
        DO $$ DECLARE thing record; BEGIN
            FOR thing IN SELECT table_name FROM information_schema.views WHERE table_schema = 'register' LOOP
                EXECUTE format('DROP VIEW register.%I CASCADE', thing.table_name);
            END LOOP;
            FOR thing IN SELECT tablename FROM pg_tables
                         WHERE schemaname = 'register' AND tablename <> 'alembic_version' LOOP
                EXECUTE format('DROP TABLE IF EXISTS register.%I CASCADE', thing.tablename);
            END LOOP;
            DROP FUNCTION register.timeline(), register.ensure_lookup_log(integer), register.forbid_change();
        END $$
        """
    )
