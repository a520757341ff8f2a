"""Train a model from the event log, publish it and make it current."""

from datetime import UTC, datetime

from cli.extras import training_extra
from cli.options import DEFAULT_CONFIG, DEFAULT_MODELS, AsJson, ConfigFile, ModelsDir
from cli.output import print_json, say
from cli.progress import progress


def train(
    config: ConfigFile = DEFAULT_CONFIG,
    models_dir: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Publish a bundle with its report.html and model_card.md."""
    with training_extra():
        from training.config import load
        from training.pipeline import train as run_pipeline
    settings = load(config)
    with progress() as listener:
        result = run_pipeline(settings, models_dir, progress=listener, now=datetime.now(UTC))
    if as_json:
        print_json(
            {
                "version": result.version,
                "path": result.path,
                "promoted": result.promoted,
                "metrics": result.metrics,
            }
        )
    else:
        say(result.lines)
