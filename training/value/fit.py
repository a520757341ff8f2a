"""Fit what is at stake with a customer, on what customers ordered after earlier dates."""

import math
from dataclasses import dataclass, replace

from churn.compiled import Floats
from churn.events import MICROSECONDS_PER_DAY, Feed
from churn.manifest import LossEntry, ValueEntry
from churn.value import CustomerValue
from training.calendar import Calendar, date_of
from training.config import Config
from training.fit import Fitted
from training.ingest import Ingested
from training.progress import Progress, Silent
from training.snapshots import Snapshots
from training.treated import LeftOut, Treatments
from training.value.learn import learn_value
from training.value.loss import fit_loss
from training.value.rows import ValueRows, collect_value

FEWEST_DATES = 3
"""A window is too long where it leaves fewer dates to learn from."""
LEAST_LATER_DAYS = 14
"""Days after the horizon that tell something of what is bought there."""
MOST_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class Window:
    """How long orders are counted after which dates.

    Attributes
    ----------
    days : int
        From the end of the lead time.
    dates : list of int
        Those whose window had ended by the date that the model is made for.
    """

    days: int
    dates: list[int]

    @classmethod
    def of(cls, calendar: Calendar, made_at: int, wanted_days: int) -> "Window":
        """The longest window, up to the one wanted, that leaves dates enough.

        The horizon itself where no longer one tells more than it does.

        Raises
        ------
        TooLittleData
            Not even one horizon has ended by then.
        """
        day = MICROSECONDS_PER_DAY
        dates = calendar.training_dates(made_at)
        lead = calendar.window // day - calendar.horizon_days
        longest = (made_at - dates[:FEWEST_DATES][-1]) // day - lead
        days = min(wanted_days, longest)
        if days < calendar.horizon_days + LEAST_LATER_DAYS:
            days = calendar.horizon_days
        return cls(days, [date for date in dates if date + (lead + days) * day <= made_at])


def with_value(
    config: Config,
    ingested: Ingested,
    calendar: Calendar,
    fitted: Fitted,
    reference: Snapshots,
    made_at: int,
    progress: Progress | None = None,
) -> Fitted:
    """A fitted model that also knows what is at stake and what kind of loss it would be.

    Parameters
    ----------
    config, ingested, calendar : Config, Ingested, Calendar
        The problem, the log and its dates.
    fitted : Fitted
        The model.
    reference : Snapshots
        The eligible customers at the date the model is made for: limits refer to them.
    made_at : int
        That date; orders known later are not learnt from.
    progress : Progress, optional
        Told of rows that are left out.
    """
    loss = fit_loss(reference.X)
    value = None
    if Feed.CHEQUES in ingested.feeds:
        value = fit_value(config, ingested, calendar, reference.X, made_at, progress=progress)
    return replace(fitted, model=replace(fitted.model, value=value, loss=loss))


def value_days(config: Config) -> int:
    """Over which days value is counted: at least the horizon."""
    return max(config.business.value_horizon_days, config.problem.horizon_days)


def fit_value(
    config: Config,
    ingested: Ingested,
    calendar: Calendar,
    reference: Floats,
    made_at: int,
    wanted_days: int | None = None,
    progress: Progress | None = None,
) -> CustomerValue | None:
    """Fit on the dates whose window had ended by `made_at`.

    Parameters
    ----------
    config, ingested, calendar : Config, Ingested, Calendar
        The problem, the log and its dates.
    reference : ndarray of float64, shape (n, n_inputs)
        Input columns of the eligible customers at `made_at`.
    made_at : int
        Orders known later are not learnt from.
    wanted_days : int, optional
        Over which value is to be counted; the configured ones by default.
    progress : Progress, optional
        Told of rows that are left out.

    Returns
    -------
    CustomerValue or None
        None where too few customers or no cheques are there to learn from.
    """
    wanted = value_days(config) if wanted_days is None else wanted_days
    window = Window.of(calendar, made_at, wanted)
    rows = collect_value(
        ingested,
        window.dates,
        config.problem,
        window_days=window.days,
        known_until=made_at,
        share=min(1.0, MOST_ROWS / max(1, len(reference) * len(window.dates))),
        seed=config.training.seed,
    )
    rows, left_out = without_treated(config, rows, window.days)
    model = learn_value(
        rows,
        reference,
        days=wanted,
        horizon_days=config.problem.horizon_days,
        window_days=window.days,
        margin_rate=config.business.margin_rate,
    )
    if left_out is not None:
        progress = progress or Silent()
        progress.note(f"for values, {left_out.sentence()}")
        if model is None:
            progress.note(
                "nothing is said of what customers are worth: too few of the rows left are of "
                "customers who came back"
            )
    return model


def without_treated(
    config: Config, rows: ValueRows, window_days: int
) -> tuple[ValueRows, LeftOut | None]:
    """Leave out rows whose customer was treated while orders were counted.

    Orders that an action brought are not to be expected of whoever gets none.

    Parameters
    ----------
    config : Config
        Names the decisions, if there are any.
    rows : ValueRows
        Whose orders were counted over `window_days` after the lead time.
    window_days : int
        How long that was.
    """
    if config.training.decisions is None:
        return rows, None
    told = Treatments.read(config.base_dir / config.training.decisions)
    seen = (config.problem.lead_time_days + window_days) * MICROSECONDS_PER_DAY
    return told.leave_out(rows, seen, config.training.seed)


def entries(
    config: Config, calendar: Calendar, fitted: Fitted, made_at: int
) -> dict[str, ValueEntry | LossEntry | None]:
    """What a manifest says of the value and the rules of a model made for a date."""
    value, loss = fitted.model.value, fitted.model.loss
    told: dict[str, ValueEntry | LossEntry | None] = {"value": None, "loss": None}
    if value is not None:
        window = Window.of(calendar, made_at, value_days(config))
        a, b = value.limits.tolist()
        told["value"] = ValueEntry(
            days=value.days,
            margin_rate=value.margin_rate,
            window_days=window.days,
            snapshots=[str(date_of(date, config.events.zone)) for date in window.dates],
            least_a=a,
            least_b=b,
        )
    if loss is not None:
        told["loss"] = LossEntry(
            late=loss.late,
            high_cheque=None if math.isinf(loss.high_cheque) else loss.high_cheque,
            active=None if math.isinf(loss.active) else loss.active,
        )
    return told
