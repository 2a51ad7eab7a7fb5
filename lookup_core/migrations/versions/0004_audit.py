"""The audit log as a Merkle log: dense numbers, monthly partitions, tiles, signed checkpoints, a role that verifies."""

from lookup_core.migrations.files import run

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0004_audit.sql")


def downgrade() -> None:
    run("0004_down.sql")
