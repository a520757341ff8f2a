"""Judge the model and every baseline on dates that come after what they learnt from."""

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
        from training.backtest import backtest as run_backtest
        from training.config import load
    settings = load(config)
    with progress() as listener:
        now = datetime.now(UTC)
        result = run_backtest(settings, as_of or None, now=now, progress=listener).to_dict()
    if as_json:
        print_json(result)
        return
    dates = ", ".join(str(date) for date in result["as_of"])
    say(
        [
            f"{result['n']:,} customers at {dates}; churn rate {result['churn_rate']:.3f} "
            f"within {result['horizon_days']} days",
            "",
            " " * 18 + "".join(f"{name:>16}" for name in METRICS),
        ]
    )
    for model, metrics in result["models"].items():
        say([f"{model:<18}" + "".join(f"{_shown(metrics[name]):>16}" for name in METRICS)])


def _shown(metric: float | None) -> str:
    return "-" if metric is None else f"{metric:.4f}"
