"""Writes the published contract, `openapi/openapi.json`."""

import json
from pathlib import Path

from service.app import create_app
from service.settings import Settings


def document() -> str:
    """Render the contract as text; the same for every model and every setting."""
    return json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False) + "\n"


def write(directory: Path) -> Path:
    """Write `openapi.json` into a folder and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "openapi.json"
    path.write_text(document(), encoding="utf-8")
    return path
