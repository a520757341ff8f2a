"""PostgreSQL remembers scores and decisions with one statement."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the function; `service.store.recorded` calls it, and does it itself in SQLite.

    It tells how many rows were new, and writes none where somebody in them was erased once. Each
    statement of a function sees what was committed before it begins: what the last writer did, and
    so the tombstones of an erasure that was waited for. Where the server is set to another level of
    isolation it would not: then nothing is done, and -1 told.
    """
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute("""
        CREATE OR REPLACE FUNCTION keepwell_remember(scored json, decided json, digests bytea[])
        RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            of_scores bigint;
            of_decisions bigint;
        BEGIN
            IF current_setting('transaction_isolation') <> 'read committed' THEN
                RETURN -1;
            END IF;
            PERFORM pg_advisory_xact_lock(5208512937201);  -- as every writer
            IF EXISTS (SELECT FROM tombstones WHERE digest = ANY (digests))
                OR digests IS NULL AND EXISTS (SELECT FROM tombstones) THEN
                RETURN 0;
            END IF;
            INSERT INTO scores
                SELECT * FROM json_populate_recordset(CAST(NULL AS scores), scored)
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS of_scores = ROW_COUNT;
            INSERT INTO decisions
                SELECT * FROM json_populate_recordset(CAST(NULL AS decisions), decided)
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS of_decisions = ROW_COUNT;
            RETURN of_scores + of_decisions;
        END $$
    """)
