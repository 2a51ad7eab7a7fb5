"""Segments of the lookup log: which were stored, and the hashes that chain them."""

from lookup_core.migrations.files import run

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0002_lookup_segment.sql")


def downgrade() -> None:
    run("0002_down.sql")
