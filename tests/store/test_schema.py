"""The schema goes forward, to what the tables say, and never back."""

import multiprocessing
import subprocess
import sys

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from service.store import migrate, tables
from service.store.database import Database
from service.store.errors import StoreTooNew
from service.store.migrations import HEAD


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    return False


def revisions() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    return ScriptDirectory.from_config(config)


def test_a_new_store_gets_every_table(database: Database) -> None:
    database.prepare()
    with database.reading() as connection:
        made = set(inspect(connection).get_table_names())
        assert migrate.revision(connection) == HEAD
    assert made == {*tables.metadata.tables, "alembic_version"}


def test_the_migrations_build_the_tables_as_they_are_used(database: Database) -> None:
    with database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []


def test_the_head_that_is_looked_for_is_the_last_migration() -> None:
    assert revisions().get_heads() == [HEAD]


def test_no_migration_goes_back() -> None:
    for script in revisions().walk_revisions():
        assert not hasattr(script.module, "downgrade")


def test_preparing_twice_changes_nothing(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(tables.counters.insert().values(name="received", value=3))
    database.prepare()
    with database.reading() as connection:
        assert connection.execute(tables.counters.select()).all() == [("received", 3)]


def test_a_store_of_a_newer_version_is_refused_and_left_alone(store_url: str) -> None:
    newer = Database(store_url)
    with newer.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    newer.close()
    database = Database(store_url)
    for use in (database.prepare, database.reading, database.writing):
        with pytest.raises(
            StoreTooNew, match=rf"schema 9999.*none after {HEAD}.*upgrade"
        ) as caught:
            use()
        assert "hush" not in str(caught.value)
    assert not database.available
    database.close()


def test_a_migration_that_fails_leaves_nothing(store_url: str) -> None:
    database = Database(store_url)

    def migrate_and_fail() -> None:
        with database._writing() as connection:
            migrate.forward(connection, database.shown)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        migrate_and_fail()
    with database._reading() as connection:
        assert inspect(connection).get_table_names() == []
    database.close()


def prepare(url: str) -> None:
    """What each of several processes does that start together."""
    database = Database(url)
    database.prepare()
    database.close()


def test_processes_that_start_together_migrate_once(store_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    together = [context.Process(target=prepare, args=(store_url,)) for _ in range(4)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0] * 4


def test_a_store_in_order_is_opened_without_loading_alembic(store_url: str) -> None:
    first = Database(store_url)
    first.prepare()
    first.close()
    program = (
        "import sys; from service.store.database import Database; Database(sys.argv[1]).prepare();"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, store_url], check=False).returncode == 0
