"""Jobs remember how far the feeds had come; PostgreSQL leaves room for histories to grow."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add a column; what is stored already stays where it is."""
    op.add_column("jobs", sa.Column("marks", sa.Text))
    if op.get_bind().dialect.name == "postgresql":
        # A history is written anew with every event: in its own page, where there is room, no
        # index has to be told (python -m benchmarks store).
        op.execute("ALTER TABLE histories SET (fillfactor = 80)")
