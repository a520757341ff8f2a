"""Brings a store's schema up to this version's, or refuses one that is newer."""

import threading
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from service.store.errors import StoreTooNew
from service.store.migrations import HEAD

FOLDER = Path(__file__).with_name("migrations")
_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps the migration at hand in its module's globals."""
_VERSION = text("SELECT version_num FROM alembic_version")


def revision(connection: Connection) -> str | None:
    """Return the revision of the store's schema; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(_VERSION).scalar()
    return found


def forward(connection: Connection, shown: str) -> None:
    """Migrate within the connection's transaction, which must be the store's only writer.

    Parameters
    ----------
    connection : Connection
        Of `Database.writing`.
    shown : str
        The store's URL without its password.

    Raises
    ------
    StoreTooNew
        The schema has a revision that this version does not know; nothing is changed.
    """
    found = revision(connection)
    if found == HEAD:
        return
    # Third of a second and 15 MB, which only a migration is worth.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreTooNew(
            f"the store {shown} has schema {found}, and this Keepwell knows none after {HEAD}: "
            "a newer Keepwell wrote it; upgrade this one or name another KEEPWELL_STORE_URL"
        )
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")
