"""Customers are dealt into buckets by a hash that is ours, pinned and the same in every engine.

A bucket holds whole customers, so it can be sorted, deduplicated, featurised and scored by itself:
on one thread, on another machine, today or next year.
"""

import hashlib

N_BUCKETS = 64
REJECTED = -1
"""Where rows that are no events go."""


def bucket_of(customer_id: str, n_buckets: int = N_BUCKETS) -> int:
    """Return the bucket, in [0, n_buckets), that a customer's events lie in.

    The last eight bytes of the identifier's MD5 (for its availability everywhere, not its
    strength), read as a little-endian number, modulo the number of buckets.

    Examples
    --------
    >>> bucket_of("c-1042")
    9
    """
    digest = hashlib.md5(customer_id.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % n_buckets


def bucket_sql(customer_id: str, n_buckets: int = N_BUCKETS) -> str:
    """Return `bucket_of` as a DuckDB expression over the SQL expression `customer_id`."""
    return f"CAST(md5_number_lower({customer_id}) % {n_buckets} AS SMALLINT)"
