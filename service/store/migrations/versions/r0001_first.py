"""The first schema.

A step that stores may have been made with is not changed any more: what comes later is a new one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Key = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "histories",
        sa.Column("customer_id", Key, primary_key=True),
        sa.Column("events", sa.LargeBinary, nullable=False),
        sa.Column("first_at", sa.BigInteger, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.Column("n_events", sa.Integer, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", Key, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "watermarks",
        sa.Column("feed", Key, primary_key=True),
        sa.Column("occurred_at", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("customer_id", Key, primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True),
        sa.Column("model_version", Key, primary_key=True),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("scored_at", sa.BigInteger, nullable=False),
        sa.Column("probability", sa.Float(53)),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("band", sa.Text),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("horizon_days", sa.Integer, nullable=False),
    )
    op.create_index("scores_by_age", "scores", ["scored_at"])
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "erasures",
        sa.Column("customer_id", Key, primary_key=True),
        sa.Column("erased_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "secrets",
        sa.Column("name", Key, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", Key, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("input_format", sa.Text, nullable=False),
        sa.Column("input_bytes", sa.BigInteger, nullable=False),
        sa.Column("results_format", sa.Text, nullable=False),
        sa.Column("as_of", sa.BigInteger, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("model_version", sa.Text, nullable=False),
        sa.Column("max_reasons", sa.Integer, nullable=False),
        sa.Column("direction", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.BigInteger),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("outcomes", sa.Text),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("results_bytes", sa.BigInteger),
        sa.Column("results_sha256", sa.Text),
    )
    op.create_index("jobs_in_order", "jobs", ["state", "created_at"])
    op.create_table(
        "idempotency",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("job_id", Key, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_index("idempotency_of_job", "idempotency", ["job_id"])
    op.create_table(
        "imports",
        sa.Column("source", Key, primary_key=True),
        sa.Column("part", sa.Integer, primary_key=True),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("finished_at", sa.BigInteger, nullable=False),
    )
