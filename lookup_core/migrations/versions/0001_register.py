"""The register: people, identifiers, exclusions, tokens, keys, changes, replicas, audit, outbox; roles and grants."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def run(name: str) -> None:
    """Run a file of SQL that lies beside this one, by the driver itself: `%` is nothing special in it."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "migrations run on a live connection"
    connection.execute((Path(__file__).parent / name).read_text())


def upgrade() -> None:
    run("0001_register.sql")
    run("0001_roles.sql")


def downgrade() -> None:
    """Drop what is in the schema. The roles stay: they belong to the cluster, and other databases use them."""
    run("0001_down.sql")
