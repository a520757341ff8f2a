from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import small_bundle

# The same examples on every run, and no time limit: the first one may have a kernel to compile.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one promoted model; shared, so left as it is."""
    root = tmp_path_factory.mktemp("models")
    small_bundle(root)
    return root
