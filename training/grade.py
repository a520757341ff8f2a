"""One letter for a manager: how far to rely on a model, and the sentence that says why."""

from collections.abc import Sequence

from training.gates import Differences, verdict
from training.verdicts import Gate, Grade, Letter, Outcome

GOOD_CUSTOMERS, GOOD_OF_EACH_KIND = 1_000, 200
FAIR_CUSTOMERS, FAIR_OF_EACH_KIND = 300, 50
STEADY_DATES = 3
"""Dates, the test date included, before anybody may say that a model is steady."""

_LETTERS: tuple[Letter, ...] = ("A", "B", "C")
_OPENINGS: dict[Letter, str] = {
    "A": "Rely on it",
    "B": "Use it",
    "C": "Use it with care",
    "D": "Do not use it",
}


def grade(
    gates: Sequence[Gate],
    *,
    best_rule: str,
    against_best: Differences,
    customers: int,
    churned: int,
    dates: int | None,
) -> Grade:
    """Grade a model by its gain, calibration, stability and the data behind the judgement.

    A failed gate is a D. Otherwise it starts at A and each thing to mind costs a letter (two
    where it is grave), down to C.

    Parameters
    ----------
    gates : sequence of Gate
    best_rule : str
        The simple rule with the lowest log loss, in words.
    against_best : dict
        Differences to it, as `training.intervals.compare` gives them.
    customers, churned : int
        Of the test date.
    dates : int
        Dates that the stability is judged on, the test date included; None where customers of
        the same time were asked about, in folds.
    """
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        more = f" ({len(failed) - 1} more failed.)" if len(failed) > 1 else ""
        return Grade("D", f"{_OPENINGS['D']}. {failed[0].sentence}{more}")
    praise, blame, cost = [], [], 0
    there = "on the test date" if dates is not None else "on the rows it was judged on"
    better, worse = verdict(against_best)
    if better and not worse:
        praise.append(f"it is clearly better than the best simple rule ({best_rule})")
    elif worse and not better:
        cost += 2
        blame.append(f"the best simple rule ({best_rule}) is better {there}")
    else:
        cost += 1
        blame.append(f"it is no clearer than the best simple rule ({best_rule})")
    warned = {gate.name for gate in gates if gate.outcome is Outcome.WARNING}
    off = next(
        (gate for gate in gates if gate.name in warned and _about(gate, "calibration")), None
    )
    beyond = max((gate.figure or 0.0 for gate in gates if _about(gate, "calibration")), default=0.0)
    if off is None:
        almost = "almost " if beyond > 0 else ""
        praise.append(f"its probabilities {almost}mean what they say")
    else:
        cost += 1
        whom = {"calibration_one_time": " of one-time buyers", "calibration_repeat":
                " of repeat buyers"}.get(off.name, "")  # fmt: skip
        blame.append(f"its probabilities{whom} were off {there}, its order less so")
    if any(_about(gate, "stability") for gate in gates if gate.name in warned):
        cost += 1
        blame.append("its quality moves from date to date")
    elif dates is None:
        cost += 1
        blame.append("it was judged on customers of the same time, not on a later date")
    elif dates < STEADY_DATES:
        cost += 1
        blame.append(f"it was judged on {dates} date{'s' * (dates > 1)} only")
    else:
        praise.append(f"it ranks customers steadily on {dates} dates")
    fewest = min(churned, customers - churned)
    if customers < FAIR_CUSTOMERS or fewest < FAIR_OF_EACH_KIND:
        cost += 2
        blame.append(f"{customers:,} customers are far too few to be sure")
    elif customers < GOOD_CUSTOMERS or fewest < GOOD_OF_EACH_KIND:
        cost += 1
        blame.append(f"{customers:,} customers are few to judge it by")
    leaks = [gate for gate in gates if gate.name in warned and _about(gate, "leakage")]
    if leaks:
        cost += 2
        named = f" ({leaks[0].column})" if leaks[0].column else ""
        blame.append(f"something in the log may know the future{named}")
    letter = _LETTERS[min(cost, 2)]
    good = _and(praise)
    if not blame:
        return Grade(letter, f"{_OPENINGS[letter]}: {good}.")
    but = f"{good}; but {_and(blame)}" if good else _and(blame)
    return Grade(letter, f"{_OPENINGS[letter]}: {but}.")


def _about(gate: Gate, subject: str) -> bool:
    return gate.name.startswith(subject)


def _and(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
