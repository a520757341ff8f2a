"""The base of every table of keepwell.toml."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of keepwell.toml: no unknown key, no "60" where 60 is meant."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
