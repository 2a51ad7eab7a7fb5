"""Receipts of checks: the roots of segments of the lookup log, which are still to be sealed, how to find a check."""

from lookup_core.migrations.files import run

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0005_receipts.sql")


def downgrade() -> None:
    run("0005_down.sql")
