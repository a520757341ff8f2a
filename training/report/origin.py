"""Sections on where the model comes from: the log, the dates, the settings."""

from collections.abc import Callable, Mapping
from html import escape

from training.html import grid, paragraph, table, warning_box
from training.own_report import OwnReport, advice
from training.plots import days
from training.report_data import ReportData
from training.rules import ADVICE
from training.usability import Usability


def learnt_from(data: ReportData) -> str:
    """The log's usability and the calendar; empty where neither is known."""
    text = ""
    if data.usability is not None:
        text += _log(data.usability)
    if data.own is not None:
        text += _own(data.own)
    if data.facts:
        text += "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in data.facts) + "</ul>"
    if data.calendar and data.horizon_days is not None:
        text += grid(
            [
                days.calendar(data.calendar, data.lead_time_days, data.horizon_days),
                days.churn_rates(data.calendar),
            ]
        )
        rows = [
            (s.as_of.isoformat(), s.role, f"{s.customers:,}", f"{s.churn_rate:.1%}")
            for s in sorted(data.calendar, key=lambda s: s.as_of)
        ]
        text += (
            f"<details><summary>All {len(rows)} snapshots</summary>"
            + table(("As of", "Used for", "Customers", "Left"), rows, "Every snapshot, in order.")
            + "</details>"
        )
    return text


def made(data: ReportData) -> str:
    """Settings, versions, and what it takes to make the same model again."""
    problem = {
        "horizon_days": data.horizon_days,
        "lead_time_days": data.lead_time_days if data.horizon_days is not None else None,
        "inactivity_days": data.inactivity_days,
        "observation_window_days": data.observation_window_days,
    }
    rows = [
        *(
            (key, str(value), "keepwell.toml")
            for key, value in problem.items()
            if value is not None
        ),
        ("seed", str(data.seed), "keepwell.toml"),
        *((name, value, "model") for name, value in data.settings.items() if name != "seed"),
        *((name, version, "library") for name, version in data.libraries.items()),
    ]
    return (
        paragraph(
            "Trained again on the same events with the same settings, seed and libraries, the "
            "model has the same trees and gives the same probabilities."
        )
        + f"<p>Fingerprint of the events (SHA-256): <code>{escape(data.data_fingerprint or '-')}"
        "</code></p>"
        + table(("Setting", "Value", "From"), rows, "Everything the model depends on.")
    )


def _log(log: Usability) -> str:
    total = log.total
    rejected = log.rows - log.accepted
    facts = [
        ("Rows read", f"{log.rows:,}", f"{log.accepted:,} are events, "
         + (f"{rejected / log.rows:.1%} were set aside" if rejected else "none was set aside")),
        ("Customers", f"{total.customers:,}", f"{total.buyers:,} of them ever bought"),
        ("One-time buyers", f"{log.one_time_share:.0%}", "of buyers bought on one day only; of "
         "them the log says least"),
        ("Span", f"{log.span_days:,.0f} days", _room(log)),
        *_pace(log),
        ("Kinds of events", f"{len(total.kinds)}", ", ".join(
            f"{kind.replace('_', ' ')} {n:,}" for kind, n in total.kinds.most_common())),
    ]  # fmt: skip
    text = (
        paragraph(_verdict(log))
        + warning_box([_sentence(warning) for warning in log.warnings()], "What stands in the way")
        + table(("What", "How much", "What it says"), facts, "What the log holds.", words=(2,))
    )
    text += _suggested(log) + _set_aside(log.quarantined, ADVICE.__getitem__, "quarantine.parquet")
    if log.notes:
        text += "<ul>" + "".join(f"<li>{escape(_sentence(note))}</li>" for note in log.notes)
        text += "</ul>"
    return text + grid(
        [
            days.gaps(log.gaps, log.problem),
            days.months(log),
        ]
    )


def _own(own: OwnReport) -> str:
    """The columns of the user's own: how much of them is known."""
    share = own.matched / max(own.log_customers, 1)
    facts = [
        ("Rows of [features]", f"{own.rows:,}", f"{own.accepted:,} can be used, of "
         f"{own.customers:,} customers"),
        ("Customers matched", f"{share:.0%}", f"of the log's {own.log_customers:,} customers have "
         "a row"),
        *((name, f"{n / max(own.accepted, 1):.0%}", "of the rows hold a "
           + (f"category, one of {own.categories[name]:,}" if name in own.categories else "number"))
          for name, n in own.known.items()),
    ]  # fmt: skip
    if own.ambiguous:
        facts.append(
            ("Contradictions", f"{own.ambiguous:,}", "times a customer has different rows of one "
             "known_at; the one that compares highest counts")
        )  # fmt: skip
    return table(
        ("What", "How much", "What it says"),
        facts,
        f"Your own columns: known of {share:.0%} of the customers.",
        words=(2,),
    ) + _set_aside(own.quarantined, advice, "quarantine_features.parquet")


def _set_aside(rejected: Mapping[str, int], way_out: Callable[[str], str], file: str) -> str:
    if not rejected:
        return ""
    return table(
        ("Set aside because", "Rows", "What to do"),
        [
            (reason.replace("_", " "), f"{n:,}", _sentence(way_out(reason)))
            for reason, n in rejected.items()
        ],
        f"{sum(rejected.values()):,} rows were set aside and kept in {file}, each with its "
        "reason; nothing was silently dropped.",
        words=(2,),
    )


def _verdict(log: Usability) -> str:
    trouble = len(log.warnings())
    if trouble:
        return f"The log can be learnt from, with {trouble} warning{'s' if trouble > 1 else ''}."
    return "The log is fit for this question: nothing stands in the way."


def _room(log: Usability) -> str:
    horizon = log.problem.horizon_days
    if log.shortfall_days:
        return f"{log.shortfall_days} days too short for a horizon of {horizon} days"
    return f"long enough for a horizon of {horizon} days"


def _pace(log: Usability) -> list[tuple[str, str, str]]:
    back = log.gaps.after_any
    if back.share <= 0:
        return []
    return [
        (
            "Come back",
            f"{back.share:.0%}",
            f"of customers after a purchase; half of those within {back.quantile(0.5)} days, 95% "
            f"within {back.quantile(0.95)}",
        )
    ]


def _suggested(log: Usability) -> str:
    suggestions = log.suggestions()
    if not suggestions:
        return ""
    return table(
        ("Setting", "In force", "Suggested", "Why"),
        [
            (item.key, str(item.configured), str(item.days), _sentence(item.why))
            for item in suggestions
        ],
        "What the days between purchases speak for.",
        words=(3,),
    )


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
