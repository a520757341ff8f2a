"""Campaign figures as lines for people."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from training.intervals import Interval
from training.policy.learning import Proposal
from training.policy.lift import Lift
from training.policy.off_policy import Evaluation
from training.policy.verdict import sentence

if TYPE_CHECKING:  # LightGBM is loaded only for those who ask
    from training.policy.persuadable import Persuadable


def lift_lines(lines: Sequence[Lift], currency: str) -> Iterator[str]:
    """One line of figures for each action or part, and one that says what they mean."""
    yield (
        "kept: share that bought within the horizon; lift: of those who got the action less those "
        "from whom it was withheld"
    )
    yield (
        f"profit: margin that the lift is worth, less cost, in {currency} per treated customer; "
        "intervals hold the truth in 95 of 100 cases, customers drawn whole"
    )
    for line in lines:
        yield ""
        part = "" if line.by is None else f", {line.by} {line.part}"
        waiting = f", {line.waiting:,} not over" if line.waiting else ""
        yield f"{line.action}{part}: {line.treated:,} treated, {line.withheld:,} withheld{waiting}"
        if line.lift is not None:
            kept, without = line.retention_treated or 0.0, line.retention_withheld or 0.0
            yield f"  kept {kept:.1%} with, {without:.1%} without; lift {_points(line.lift)} points"
        if line.profit is not None and line.total_profit is not None:
            yield (
                f"  cost {line.cost:,.2f}, profit {_money(line.profit)}; "
                f"in all {_money(line.total_profit)} {currency}"
            )
        yield f"  {sentence(line.verdict, line.needed)}"


def evaluation_lines(found: Evaluation, currency: str) -> Iterator[str]:
    """What another policy would have brought."""
    yield (
        f"{found.decisions:,} decisions about {found.customers:,} customers, at {found.same:.0%} "
        f"of which both policies do the same; {currency} per decision, 95% intervals"
    )
    for name, interval in (
        ("as it was", found.logged),
        ("this policy, IPS", found.ips),
        ("this policy, SNIPS", found.snips),
        ("this policy, doubly robust", found.dr),
        ("gain, doubly robust", found.gain),
    ):
        yield f"  {name:<28}{_money(interval)}"
    yield f"effective sample size {found.effective:,.0f}"
    for reason, count in found.left_out.items():
        yield f"left out: {count:,}: {reason}"
    for warning in found.warnings:
        yield f"warning: {warning}"


def proposal_lines(proposal: Proposal) -> Iterator[str]:
    """What is proposed, belief by belief."""
    yield f"{proposal.untreated:,} customers to whom nothing was done tell what happens without"
    for change in proposal.changes:
        before, after = change.before, change.after
        where = "" if change.within is None else f" in {', '.join(change.within)}"
        field = "saved" if change.within else change.field
        yield (
            f"{change.action}{where}, {field}: {before.mean:.4f} (worth {before.weight:,.0f}) -> "
            f"{after.mean:.4f} (worth {after.weight:,.0f}), from {change.treated:,} customers"
        )
    for action, count in proposal.too_few.items():
        yield f"{action}: {count:,} customers with a known outcome, too few to say anything"
    if not proposal.changes:
        yield "nothing to change"


def _points(interval: Interval) -> str:
    value, low, high = (100.0 * limit for limit in interval)
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def _money(interval: Interval) -> str:
    return f"{interval.value:+,.2f} [{interval.low:+,.2f}, {interval.high:+,.2f}]"


def uplift_lines(found: Sequence["Persuadable"]) -> Iterator[str]:
    """How well those whom an action changes can be told from the others."""
    yield (
        "Qini of an uplift model that saw none of these customers, in points kept of 100: above 0, "
        "it tells whom the action changes; over the policy: better than one share for everybody"
    )
    for one in found:
        yield (
            f"{one.action}: Qini {_points(one.qini)}, over the policy {_points(one.over_policy)} "
            f"({one.treated:,} treated, {one.withheld:,} withheld)"
            + ("" if one.gain is None else f"; worth {_money(one.gain)} more per customer")
        )
    if not found:
        yield "no action has been given and withheld often enough yet"
