"""Every table of the store.

Instants are whole microseconds since 1970-01-01 UTC. The migrations build the same tables; a test
holds the two against each other.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Sorted and compared by bytes in both databases, whatever language the server speaks.
Key = Text().with_variant(Text(collation="C"), "postgresql")

histories = Table(
    "histories",
    metadata,
    Column("customer_id", Key, primary_key=True),
    Column("events", LargeBinary, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    Column("n_events", Integer, nullable=False),
)
"""One customer's events, oldest first, as one value: read whole with every score."""

counters = Table(
    "counters",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`received`: number of the last accepted write, in the order of commits."""

watermarks = Table(
    "watermarks",
    metadata,
    Column("feed", Key, primary_key=True),
    Column("occurred_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
"""How far each feed has come."""

scores = Table(
    "scores",
    metadata,
    Column("customer_id", Key, primary_key=True),
    Column("day", Integer, primary_key=True),  # days since 1970-01-01
    Column("model_version", Key, primary_key=True),
    Column("as_of", BigInteger, nullable=False),
    Column("scored_at", BigInteger, nullable=False),
    Column("probability", Float(53)),
    Column("status", Text, nullable=False),
    Column("band", Text),
    Column("reasons", Text, nullable=False),  # JSON
    Column("horizon_days", Integer, nullable=False),
    Index("scores_by_age", "scored_at"),
)
"""A customer's recorded scores, the first of each day and model."""

decisions = Table(
    "decisions",
    metadata,
    Column("decision_id", Key, primary_key=True),
    Column("customer_id", Key, nullable=False),
    Column("day", Integer, nullable=False),  # days since 1970-01-01
    Column("decided_at", BigInteger, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("withheld", Boolean, nullable=False),
    Column("explored", Boolean, nullable=False),
    Column("propensity", Float(53), nullable=False),
    Column("situation", Text, nullable=False),
    Column("reason", Text),
    Column("band", Text),
    Column("segment", Text),
    Column("probability", Float(53)),
    Column("value", Float(53)),
    Column("expected_value", Float(53)),
    Column("lower_bound", Float(53)),
    Column("cost", Float(53), nullable=False),
    Column("features_hash", Text, nullable=False),
    Column("horizon_days", Integer, nullable=False),
    Column("facts", Text, nullable=False),  # JSON
    UniqueConstraint("customer_id", "day"),
    Index("decisions_by_age", "decided_at"),
)
"""What was decided to do about a customer, the first of each day."""

outcomes = Table(
    "outcomes",
    metadata,
    Column(
        "decision_id", Key, ForeignKey("decisions.decision_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("outcome", Key, primary_key=True),
    Column("customer_id", Key, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Index("outcomes_by_kind", "outcome"),
    Index("outcomes_of_customer", "customer_id", "outcome", "at"),
)  # fmt: skip
"""What came of decisions; they go with them."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)
"""Who was erased, as a keyed hash: events from before are not taken again."""

erasures = Table(
    "erasures",
    metadata,
    Column("customer_id", Key, primary_key=True),
    Column("erased_at", BigInteger, nullable=False),
)
"""Who is being erased, while files that may hold them have not been gone through."""

secrets = Table(
    "secrets",
    metadata,
    Column("name", Key, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""Keys made once per store."""

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", Key, primary_key=True),
    Column("state", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("input_format", Text, nullable=False),
    Column("input_bytes", BigInteger, nullable=False),
    Column("results_format", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("max_reasons", Integer, nullable=False),
    Column("direction", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("marks", Text),  # JSON
    Column("client", Text),  # whose key submitted it, if one was asked for
    Column("cancel_requested", Boolean, nullable=False),
    Column("owner", Text),
    Column("lease_until", BigInteger),
    Column("attempts", Integer, nullable=False),
    Column("rows_read", BigInteger, nullable=False),
    Column("outcomes", Text),  # JSON
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("expires_at", BigInteger),
    Column("reason", Text),
    Column("results_bytes", BigInteger),
    Column("results_sha256", Text),
    Index("jobs_in_order", "state", "created_at"),
)
"""Lists of customers to score; their rows lie in files."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("job_id", Key, nullable=False),
    Column("fingerprint", LargeBinary),  # none while the job is being received
    Column("created_at", BigInteger, nullable=False),
    Index("idempotency_of_job", "job_id"),
)
"""Which key belongs to which job, and what was sent under it."""

imports = Table(
    "imports",
    metadata,
    Column("source", Key, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("finished_at", BigInteger, nullable=False),
)
"""Which parts of a bulk import are in."""

PERSONAL = (histories, scores, decisions, outcomes, erasures)
"""The tables with a `customer_id`: what an erasure must look at."""
