"""`[features]` of keepwell.toml: columns of the user's own, and the words they are told in."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints
from pydantic import model_validator as validates_together

from churn.columns import Column, Kind, check_text
from churn.reason_rules import RULES
from churn.words import Language
from training.section import Section

_REASON_CODES = frozenset(rule.code for rule in RULES)


def _is_no_reason(family: str) -> str:
    if family in _REASON_CODES:
        raise ValueError(f"must be another name: {family!r} is the code of a built-in reason")
    return family


Family = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"), AfterValidator(_is_no_reason)
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f]+$")]


class Words(Section):
    """The same in each language that answers are given in."""

    en: Text
    """English."""

    ru: Text
    """Russian."""


class OwnColumn(Section):
    """What a column of the user's own is; all of it has a default."""

    family: Family | None = None
    """The reason it speaks for: a built-in family, such as "complaints", or a name of your own.
    Default: the column's own name."""

    kind: Kind | None = None
    """"numeric" or "categorical". Default: what its SQL type is."""

    unit: Annotated[str, StringConstraints(min_length=1, max_length=32)] | None = None
    """Shown beside the feature; "days", "money" and "share" are also written so in reasons."""

    direction: int = Field(default=0, ge=-1, le=1)
    """1 if a rise usually raises the risk, -1 if a fall does, 0 if neither is usual."""

    controllable: bool = True
    """Whether the business can change it by acting."""

    label: Words | None = None
    """What people call it. Default: its name."""

    text: Words | None = None
    """The sentence of a reason, with {value} and {norm}. Default: "label: value (usual: norm)"."""

    @validates_together(mode="after")
    def _text_can_be_filled(self) -> Self:
        for sentence in (self.text.en, self.text.ru) if self.text else ():
            check_text(sentence, self.kind or "numeric")
        return self

    def column(self, name: str, kind: Kind) -> Column:
        """The column of this name, of the kind that its SQL type tells.

        Raises
        ------
        ValueError
            The sentence has a format of numbers, but the column has categories.
        """
        kind = self.kind or kind
        spoken = name.replace("_", " ")
        return Column(
            name=name,
            kind=kind,
            family=self.family or name,
            unit=self.unit or ("category" if kind == "categorical" else "number"),
            label=_words(self.label) or {"en": spoken, "ru": spoken},
            text=_words(self.text),
            direction=self.direction,
            controllable=self.controllable,
        )


class Features(Section):
    """Columns of your own beside what Keepwell computes from the events."""

    query: str | None = None
    """SQL that gives customer_id, known_at (when the row was known) and columns of your own, each
    a number or a category. A score as of a date uses the latest row known strictly before it. Leave
    it out if there are none."""

    columns: dict[str, OwnColumn] = Field(default_factory=dict)
    """What the columns are, each in a table such as [features.columns.plan] with family, kind,
    unit, direction, controllable, label and text; what is left out follows from name and type."""

    @validates_together(mode="after")
    def _columns_come_from_a_query(self) -> Self:
        if self.query is not None and not self.query.strip():
            raise ValueError("query must be a SELECT statement, but it is empty")
        if self.query is None and self.columns:
            raise ValueError("declares columns but has no query that gives them")
        return self


def _words(words: Words | None) -> dict[Language, str] | None:
    return None if words is None else {"en": words.en, "ru": words.ru}
