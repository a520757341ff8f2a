"""Facts of one judged date for the report: which dates did what, and risk at other horizons."""

from datetime import tzinfo

import numpy as np

from churn.compiled import Floats
from churn.events import MICROSECONDS_PER_DAY
from training.backtest import MODEL, Judged
from training.calendar import date_of
from training.report_data import RiskCurve, Snapshot


def calendar_of(judged: Judged, zone: tzinfo) -> tuple[Snapshot, ...]:
    """Every snapshot that was used, and what for."""
    choosing = {past.as_of for past in judged.earlier}
    test = judged.test
    return (
        *(
            Snapshot(
                date_of(as_of, zone),
                f"{role} and calibration" if as_of in choosing else role,
                *judged.trained_on[as_of],
            )
            for as_of, role in judged.fitted.dates.items()
        ),
        Snapshot(date_of(test.dates[0], zone), "test", len(test), float(test.is_churn.mean())),
    )


def risk_curves(
    judged: Judged, complete_until: int, lead_time_days: int, zone: tzinfo
) -> tuple[RiskCurve, ...]:
    """Risk at the horizons that a score shows, beside what happened.

    Of the test date, where the log may end before the longest horizon does, and of the newest
    earlier date after which it does not.

    Parameters
    ----------
    judged : Judged
        The test date, and the earlier ones.
    complete_until : int
        The log tells of purchases before this time, in microseconds.
    lead_time_days : int
        Days between a date and the day from which purchases count.
    zone : tzinfo
        The log's time zone.
    """
    model, test = judged.fitted.model, judged.test
    shown = model.curve.shown
    days = tuple(model.curve.days[shown].tolist())

    def curve(
        as_of: int, until: int, margin: Floats, probability: Floats, next_days: Floats
    ) -> RiskCurve:
        observed = (until - as_of) / MICROSECONDS_PER_DAY - lead_time_days
        silent = (next_days[:, None] >= days).astype(np.float64)
        silent[:, np.array(days) > observed] = np.nan
        curves = model.curve.probabilities(margin, probability)
        return RiskCurve(date_of(as_of, zone), days, curves[:, shown], silent)

    (made_at,) = test.dates
    margin = model.margin(model.columns(test.X))
    own = judged.probabilities[MODEL]
    found = [curve(made_at, complete_until, margin, own, test.next_purchase_days)]
    for past in judged.earlier if np.isnan(found[0].bought_nothing).any() else ():
        probability = model.calibration.apply(past.margin)
        # What came after the test date, the model could not know.
        whole = curve(past.as_of, made_at, past.margin, probability, past.next_purchase_days)
        if not np.isnan(whole.bought_nothing).any():
            found.append(whole)
            break
    return tuple(found)
