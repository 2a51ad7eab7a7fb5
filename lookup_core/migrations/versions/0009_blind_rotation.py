"""Rotating the keys of the blind index: which versions are live, and what is still to be moved."""

from lookup_core.migrations.files import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0009_blind_rotation.sql")


def downgrade() -> None:
    run("0009_down.sql")
