import pytest


@pytest.fixture(scope="session")
def stores_have_tables() -> bool:
    """Where the making of the tables is what is tried, the module says otherwise."""
    return True
