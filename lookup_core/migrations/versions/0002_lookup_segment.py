"""Segments of the lookup log: which were stored, and the hashes that chain them."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def run(name: str) -> None:
    """Run a file of SQL that lies beside this one, by the driver itself: `%` is nothing special in it."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "migrations run on a live connection"
    connection.execute((Path(__file__).parent / name).read_text())


def upgrade() -> None:
    run("0002_lookup_segment.sql")


def downgrade() -> None:
    run("0002_down.sql")
