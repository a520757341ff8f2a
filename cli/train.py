"""Train a model, publish it, and make it current if it passes its gates."""

from datetime import UTC, datetime

import typer

from cli.extras import training_extra
from cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_MODELS,
    AsJson,
    ConfigFile,
    ModelsDir,
    SigningKeyFile,
)
from cli.output import complain, print_json, say
from cli.progress import progress
from cli.signing import keys


def train(
    config: ConfigFile = DEFAULT_CONFIG,
    models_dir: ModelsDir = DEFAULT_MODELS,
    signing_key: SigningKeyFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish a bundle with its report; promote it unless it fails a gate (exit code 1)."""
    with training_extra():
        from training.pipeline import train as train_on_events
        from training.settings import read
        from training.table.config import TableConfig
        from training.table.train import train as train_on_table
    settings, now = read(config), datetime.now(UTC)
    own = keys(signing_key)
    with progress() as listener:
        if isinstance(settings, TableConfig):
            result = train_on_table(settings, models_dir, progress=listener, now=now, keys=own)
        else:
            result = train_on_events(settings, models_dir, progress=listener, now=now, keys=own)
    if as_json:
        print_json(
            {
                "version": result.version,
                "path": result.path,
                "promoted": result.promoted,
                "grade": result.judgement.grade,
                "gates": [gate.to_dict() for gate in result.judgement.gates],
                "metrics": result.metrics,
                "expected_maximum_profit": result.judgement.empc,
            }
        )
    else:
        say(result.lines)
    for reason in result.reasons:
        complain(reason)
    if not result.promoted:
        raise typer.Exit(1)
