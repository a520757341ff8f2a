import pytest


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    """The migrations have tests of their own: `tests/store`."""
    return True
