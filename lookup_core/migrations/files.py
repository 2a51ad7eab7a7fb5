"""What a migration does: run files of SQL that lie beside it."""

from pathlib import Path
from typing import Final

from alembic import op

VERSIONS: Final = Path(__file__).parent / "versions"


def run(name: str) -> None:
    """Run one of the files, by the driver itself: `%` is nothing special in it."""
    connection = op.get_bind().connection.driver_connection
    assert connection is not None, "migrations run on a live connection"
    connection.execute((VERSIONS / name).read_text())
