"""Jobs belong to the client whose key submitted them; those from before belong to nobody."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a column."""
    op.add_column("jobs", sa.Column("client", sa.Text))
