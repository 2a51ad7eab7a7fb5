"""Pairwise tokens: by which kind an operator knows people, and the generation of each person's."""

from lookup_core.migrations.files import run

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0007_pairwise.sql")


def downgrade() -> None:
    run("0007_down.sql")
