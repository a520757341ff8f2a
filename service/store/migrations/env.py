"""Run by Alembic; `service.store.migrate` gives it a connection with an open transaction."""

from alembic import context

from service.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too, as transactions are begun by us
)
context.run_migrations()
