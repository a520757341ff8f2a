"""The section on what is at stake: how it was learnt, whether it holds, what to do it is worth."""

from training.findings import MODEL
from training.groups import FEWEST_OF_PART
from training.html import grid, number, paragraph, table
from training.plots import money, value
from training.report_data import ReportData
from training.value.check import NAMES, ValueCheck
from training.value.worth import Part, Worth, best_campaign


def at_stake(data: ReportData) -> str:
    """What customers are worth, whether that came true, and what a campaign brings by part."""
    worth = data.worth
    if worth is None:
        return ""
    text = paragraph(meaning(worth))
    text += _segments(data, worth)
    if worth.check is not None:
        text += _held(worth.check, data.currency)
    return text + _campaigns(data, worth)


def meaning(worth: Worth) -> str:
    """What the value of a customer is, and how far it was seen, in plain words."""
    told = (
        "A customer's value is the margin that hangs on whether they come back: what those like "
        f"them go on to bring in {worth.days} days if they buy within {worth.horizon_days} days, "
        "less what they bring if they do not, for many of those buy later. Margin "
        f"is taken as {worth.margin_rate:.0%} of what is paid. "
    )
    if worth.window_days < worth.days:
        told += (
            f"The log is too short to see {worth.days} days after enough dates: orders were "
            f"counted over {worth.window_days} days, and after these customers are taken to go on "
            "at a rate that falls as it fell from the first half of the later days to the second. "
        )
    return told


def _segments(data: ReportData, worth: Worth) -> str:
    total = float(worth.value[worth.segment >= 0].sum()) or 1.0
    n = int((worth.segment >= 0).sum())
    least = (*worth.limits, 0.0)
    return table(
        ("Segment", "Value from", "Customers", "Share", "Mean value", "Share of all value"),
        [
            (
                _capital(part.name),
                f"{least['ABC'.index(part.name[-1])]:,.2f}",
                f"{int(part.rows.sum()):,}",
                f"{part.rows.sum() / n:.1%}",
                f"{worth.value[part.rows].mean():,.2f}",
                f"{worth.value[part.rows].sum() / total:.0%}",
            )
            for part in worth.segments
        ],
        f"Test customers by value, in {data.currency or 'the currency of the log'}: A is the most "
        "valuable fifth of the customers at training, B the next three tenths.",
    )


def _held(check: ValueCheck, currency: str) -> str:
    rows = []
    for name in check.expected:
        rank, ratio = check.ranks[name], check.ratio(name)
        rows.append((NAMES[name], number(rank.value, rank), number(ratio.value, ratio),
                     f"{check.miss(name):.0%}"))  # fmt: skip
    return (
        grid([value.tenths(check, currency)])
        + table(
            ("Expected by", "Rank correlation", "Realised / expected", "Tenths off by"),
            rows,
            f"Margin of {len(check.realised):,} customers in the {check.days} days after "
            f"{check.as_of}: how well each ranks it (1 is perfect), whether as much came in all as "
            "was expected (1 is perfect), and how far tenths of the customers are off, in parts of "
            "the mean margin. In brackets 95% intervals.",
            own=True,
        )
        + table(
            ("Customers who", "Customers", "Realised / expected"),
            [(name, f"{n:,}", number(ratio.value, ratio)) for name, n, ratio in check.parts],
            "The two expectations whose difference a customer's value is, each held against the "
            "customers it speaks of.",
        )
    )


def _campaigns(data: ReportData, worth: Worth) -> str:
    if data.economics is None:
        return ""
    text = paragraph(
        "A campaign in each part by itself, with the costs of [business], where a customer who is "
        "kept is worth the mean value of that part."
    )
    plots = []
    for what, parts in (("segment", worth.segments), ("loss category", worth.losses)):
        told = [part for part in parts if part.rows.sum() >= FEWEST_OF_PART]
        if len(told) > 1:
            plots.append(money.profit_by(_judged(data, worth, told), what, data.currency))
    unit = f" ({data.currency})" if data.currency else ""
    rows = []
    for part in (*worth.segments, *worth.losses):
        e = worth.economics(part, data.economics)
        y, p = data.is_churn[part.rows], data.probabilities[MODEL][part.rows]
        profit = best_campaign(y, p, e)
        rows.append((_capital(part.name), f"{len(y):,}", f"{e.retained_value:,.2f}",
                     f"{profit.per_customer:,.2f}", f"{profit.contacted_share:.0%}"))  # fmt: skip
    return (
        text
        + grid(plots)
        + table(
            ("Part", "Customers", f"Mean value{unit}", f"Profit per customer{unit}", "Contacted"),
            rows,
            "Expected maximum profit (EMPC) of a campaign by segment and by loss category.",
        )
    )


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _judged(data: ReportData, worth: Worth, parts: list[Part]) -> list[money.Judged]:
    assert data.economics is not None
    return [
        money.Judged(
            part.name,
            data.is_churn[part.rows],
            data.probabilities[MODEL][part.rows],
            worth.economics(part, data.economics),
        )
        for part in parts
    ]
