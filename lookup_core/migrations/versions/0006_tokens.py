"""Rotation of tokens in bulk, who knows which token, and the order in which a token's history is read."""

from lookup_core.migrations.files import run

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0006_tokens.sql")


def downgrade() -> None:
    run("0006_down.sql")
