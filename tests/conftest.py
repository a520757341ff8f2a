from pathlib import Path

import pytest

from tests.support import small_bundle


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with one promoted model; shared, so left as it is."""
    root = tmp_path_factory.mktemp("models")
    small_bundle(root)
    return root
