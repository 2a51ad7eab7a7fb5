"""What a replica loads, as flat streams: each is read in one pass by COPY and needs no sub-query."""

from pathlib import Path

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def run(name: str) -> None:
    """Run a file of SQL that lies beside this one, by the driver itself: `%` is nothing special in it."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "migrations run on a live connection"
    connection.execute((Path(__file__).parent / name).read_text())


def upgrade() -> None:
    run("0003_load_views.sql")


def downgrade() -> None:
    run("0003_down.sql")
