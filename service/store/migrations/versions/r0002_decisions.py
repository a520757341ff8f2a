"""What was decided to do about customers, and what came of it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "decisions",
        sa.Column("decision_id", Key, primary_key=True),
        sa.Column("customer_id", Key, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.BigInteger, nullable=False),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("policy_version", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("withheld", sa.Boolean, nullable=False),
        sa.Column("explored", sa.Boolean, nullable=False),
        sa.Column("propensity", sa.Float(53), nullable=False),
        sa.Column("situation", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("band", sa.Text),
        sa.Column("segment", sa.Text),
        sa.Column("probability", sa.Float(53)),
        sa.Column("value", sa.Float(53)),
        sa.Column("expected_value", sa.Float(53)),
        sa.Column("lower_bound", sa.Float(53)),
        sa.Column("cost", sa.Float(53), nullable=False),
        sa.Column("features_hash", sa.Text, nullable=False),
        sa.Column("horizon_days", sa.Integer, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.UniqueConstraint("customer_id", "day"),
    )
    op.create_index("decisions_by_age", "decisions", ["decided_at"])
    op.create_table(
        "outcomes",
        sa.Column(
            "decision_id",
            Key,
            sa.ForeignKey("decisions.decision_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("outcome", Key, primary_key=True),
        sa.Column("customer_id", Key, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    op.create_index("outcomes_by_kind", "outcomes", ["outcome"])
    op.create_index("outcomes_of_customer", "outcomes", ["customer_id", "outcome", "at"])
