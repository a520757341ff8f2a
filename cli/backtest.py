"""Judge the model and every baseline on what they had not seen: later dates, or folds."""

from datetime import UTC, date, datetime
from typing import Annotated

import typer

from cli.extras import training_extra
from cli.options import DEFAULT_CONFIG, AsJson, ConfigFile, day
from cli.output import print_json, say
from cli.progress import progress

METRICS = ("roc_auc", "pr_auc", "brier", "log_loss", "ece", "top_decile_lift")


def backtest(
    config: ConfigFile = DEFAULT_CONFIG,
    as_of: Annotated[
        list[date] | None,
        typer.Option(
            parser=day,
            metavar="DATE",
            help="A test date; repeat for several. Default: the last that leaves a whole horizon.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print out-of-time metrics side by side."""
    with training_extra():
        from training.backtest import backtest as backtest_events
        from training.settings import read
        from training.table.config import TableConfig
        from training.table.train import backtest as backtest_table
    settings, now = read(config), datetime.now(UTC)
    with progress() as listener:
        if isinstance(settings, TableConfig):
            judged = backtest_table(settings, as_of or None, now=now, progress=listener)
            result = judged.to_dict(settings.problem.horizon_days)
            notes = [line for line in [judged.copies_line()] if line is not None]
        else:
            judged_dates = backtest_events(settings, as_of or None, now=now, progress=listener)
            result, notes = judged_dates.to_dict(), []
    if as_json:
        print_json(result)
        return
    dates = ", ".join(str(date) for date in result["as_of"])
    where = f"customers at {dates}" if dates else "rows in five folds"
    within = f" within {result['horizon_days']} days" if dates else ""
    say(
        [
            f"{result['n']:,} {where}; churn rate {result['churn_rate']:.3f}{within}",
            *notes,
            "",
            " " * 18 + "".join(f"{name:>16}" for name in METRICS),
        ]
    )
    for model, metrics in result["models"].items():
        say([f"{model:<18}" + "".join(f"{_shown(metrics[name]):>16}" for name in METRICS)])


def _shown(metric: float | None) -> str:
    return "-" if metric is None else f"{metric:.4f}"
