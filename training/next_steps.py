"""What a manager does with the model, in a few steps that hold for it."""

from training.report_data import ReportData
from training.verdicts import Gate


def next_steps(data: ReportData) -> tuple[str, ...]:
    """Return the steps, in order; of a model that failed a gate only how to mend it."""
    failed: list[Gate] = [gate for gate in data.gates if not gate.passed]
    if failed:
        names = ", ".join(gate.name for gate in failed)
        return (
            f"Do not use it yet. Mend what the failed gates name ({names}), then "
            "train again. It is published to be looked at, not promoted.",
        )
    high = data.findings.bands[0]
    found = (
        ""
        if high.churn_rate is None
        else f" In the test {high.customers:,} customers were in it, of whom {high.churn_rate:.0%} "
        "left."
    )
    steps = [
        "Score everybody, with reasons and a suggested action for each: keepwell score --out "
        f"scores.csv. Begin with the high band.{found}",
        "Leave some customers of that band alone, drawn by lot. Only the difference between the "
        "two tells whether a contact keeps anybody: those most at risk are not always those whom "
        "an offer keeps.",
    ]
    if data.economics is not None:
        steps.append(
            "Put your own costs into [business] of keepwell.toml before deciding how many to "
            "contact: what a campaign earns, further down, is only as good as they are."
        )
    steps.append(
        "Train again when new outcomes are known, at the latest when the share that leaves moves "
        "away from what was expected."
    )
    return tuple(steps)
