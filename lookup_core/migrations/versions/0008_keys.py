"""Keys of personal data: which columns a row has, when its key was made, shredding, rotations and retired keys."""

from lookup_core.migrations.files import run

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0008_keys.sql")


def downgrade() -> None:
    """A shredded row cannot be what the older schema wants, and goes."""
    run("0008_down.sql")
