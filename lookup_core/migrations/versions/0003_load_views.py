"""What a replica loads, as flat streams: each is read in one pass by COPY and needs no sub-query."""

from lookup_core.migrations.files import run

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run("0003_load_views.sql")


def downgrade() -> None:
    run("0003_down.sql")
