"""The base of every table of keepwell.toml, and of the file itself."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, PrivateAttr


class Section(BaseModel):
    """A table of keepwell.toml: no unknown key, no "60" where 60 is meant."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class SettingsFile(Section):
    """A whole keepwell.toml, which knows where it lies."""

    _path: Path = PrivateAttr(default=Path("keepwell.toml"))

    @property
    def path(self) -> Path:
        """The file this was read from."""
        return self._path

    @property
    def base_dir(self) -> Path:
        """The folder that paths in the query are relative to: the file's own."""
        return self._path.absolute().parent
