"""The register: people, identifiers, exclusions, tokens, keys, changes, replicas, audit, outbox; roles and grants."""

from lookup_core.migrations.files import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0001_register.sql")
    run("0001_roles.sql")


def downgrade() -> None:
    """Drop what is in the schema. The roles stay: they belong to the cluster, and other databases use them."""
    run("0001_down.sql")
