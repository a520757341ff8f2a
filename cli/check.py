"""Report whether the event log can carry a model, and what stands in the way."""

import tempfile
from pathlib import Path

from cli.extras import training_extra
from cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from cli.output import print_json, say
from cli.progress import progress


def check(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Read the log, count what is unusable, suggest horizon and inactivity."""
    with training_extra():
        from training.config import load
        from training.ingest import ingest
    settings = load(config)
    with tempfile.TemporaryDirectory(prefix="keepwell-") as work, progress() as listener:
        usability = ingest(settings, Path(work), progress=listener).usability
    if as_json:
        print_json(usability.to_dict())
    else:
        say(usability.lines())
