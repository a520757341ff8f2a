"""The store's schema, step by step. Forward only: Keepwell never downgrades a store."""

HEAD = "0005"
"""The last revision. Kept here so that a store in order is opened without loading Alembic."""
