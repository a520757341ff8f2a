"""`[table]` of keepwell.toml: a ready feature table with a label, instead of an event log."""

from typing import Annotated, Self

from pydantic import Field, StringConstraints, field_validator
from pydantic import model_validator as validates_together

from training.config import Business, Problem, Training
from training.own_config import OwnColumn
from training.section import Section, SettingsFile

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class Table(Section):
    """Where the table is and how to read it."""

    query: str
    """SQL that gives customer_id, is_churn (true or false, 1 or 0, yes or no) and the columns to
    predict it from, each a number or a category. DuckDB runs it over CSV, Parquet or JSON files;
    paths are relative to this file. Leave out whatever was not known when the row was made."""

    group: ColumnName | None = None
    """A column of the query: rows that share its value (a household, an account, copies of one
    customer) stay together when the model is judged. Rows of one customer_id always do."""

    as_of: ColumnName | None = None
    """A column of the query: the date each row was made. With it the model is judged out of time:
    learnt from rows whose outcome had ended, tried on later ones. Without it: in five folds."""

    columns: dict[str, OwnColumn] = Field(default_factory=dict)
    """What the columns are, each in a table such as [table.columns.plan] with family, kind, unit,
    direction, controllable, label and text; what is not declared is told from its name and type."""

    @validates_together(mode="after")
    def _is_written(self) -> Self:
        if not self.query.strip():
            raise ValueError("query must be a SELECT statement, but it is empty")
        return self


class TableConfig(SettingsFile):
    """Everything in a keepwell.toml that has a ready table."""

    table: Table
    """Where the table is and how to read it."""
    problem: Problem = Field(default_factory=Problem)
    """What the label speaks of: horizon_days after lead_time_days; the rest is for events."""
    training: Training = Field(default_factory=Training)
    """How the model is trained."""
    business: Business = Field(default_factory=Business)
    """What a customer is worth."""

    @field_validator("training")
    @classmethod
    def _knows_no_treatments(cls, training: Training) -> Training:
        if training.decisions is not None:
            raise ValueError(
                "decisions are for [events]: whose outcome an action may have changed is told by "
                "dates, which a ready table need not have. Leave such rows out in [table] query, "
                "and let those from whom the action was withheld stand for them"
            )
        return training
