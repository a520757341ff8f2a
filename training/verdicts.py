"""What is said of a trained model before it may serve: gates, and one plain grade.

Values only: `training.gates` and `training.grade` fill them in, reports print them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

Letter = Literal["A", "B", "C", "D"]


class Outcome(StrEnum):
    """How a gate was passed, or not; only `FAILED` keeps a model from being promoted."""

    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Gate:
    """One question that a model must answer well before it is promoted.

    Attributes
    ----------
    name : str
        Stable identifier, such as ``leakage_column``; `docs/gates.md` has each.
    measured : str
        What the figure is, in words.
    figure : float or None
        What was measured; None where it could not be.
    limit : float
        Beyond this the gate fails, or warns where it only warns.
    outcome : Outcome
        Passed, passed with a warning, or failed.
    sentence : str
        For people: what was found, and what to do where it is not good.
    column : str or None
        The column at fault, where there is one.
    """

    name: str
    measured: str
    figure: float | None
    limit: float
    outcome: Outcome
    sentence: str
    column: str | None = None

    @property
    def passed(self) -> bool:
        """Whether the model may be promoted for all this gate knows."""
        return self.outcome is not Outcome.FAILED

    def to_dict(self) -> dict[str, Any]:
        """The fields by name and `passed`, ready for JSON."""
        return {
            "name": self.name,
            "measured": self.measured,
            "figure": self.figure,
            "limit": self.limit,
            "outcome": self.outcome.value,
            "passed": self.passed,
            "sentence": self.sentence,
            "column": self.column,
        }


@dataclass(frozen=True, slots=True)
class Grade:
    """One letter for a manager, and the sentence that explains it.

    Attributes
    ----------
    letter : str
        ``A`` (rely on it) to ``D`` (do not use it).
    sentence : str
        Why, in plain words.
    """

    letter: Letter
    sentence: str
