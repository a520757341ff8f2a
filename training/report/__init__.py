"""The report of a trained model: one HTML file that explains how far to trust it, and why.

It opens anywhere and asks nothing of a network: styles and plots are inline, there is no script,
and a content security policy forbids what is not there. The first screen answers "what is this,
and is it better than a simple rule?"; below it each section goes one question deeper. A section
whose facts the log does not hold is left out.
"""

from html import escape
from pathlib import Path

from training.html import page
from training.report.first import first_screen
from training.report.origin import learnt_from, made
from training.report.quality import better, holding, honest, over_days, whom, worth
from training.report.risk import bands, held, looked_at
from training.report.value import at_stake
from training.report_data import ReportData

SECTIONS = (
    ("better", "Is it better than a simple rule?", better),
    ("honest", "Are the probabilities honest?", honest),
    ("time", "Does it hold over time?", holding),
    ("whom", "For whom does it work?", whom),
    ("bands", "What do the risk bands mean?", bands),
    ("days", "How does risk go on over the days?", over_days),
    ("worth", "What is it worth to a campaign?", worth),
    ("value", "What is at stake with whom?", at_stake),
    ("drivers", "What does it look at?", looked_at),
    ("reasons", "Do the reasons hold?", held),
    ("data", "What did it learn from?", learnt_from),
    ("made", "How was it made?", made),
)


def write(path: Path, data: ReportData) -> None:
    """Write the report to `path` as one self-contained HTML file.

    Raises
    ------
    TooLittleData
        If there is no test row.
    """
    path.write_text(render(data), encoding="utf-8")


def render(data: ReportData) -> str:
    """Return the report as HTML text."""
    told = [(key, title, text) for key, title, section in SECTIONS if (text := section(data))]
    links = "".join(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, title, _ in told)
    body = "".join(
        f'<section id="{key}"><h2>{escape(title)}</h2>{text}</section>' for key, title, text in told
    )
    contents = f'<nav aria-label="Contents"><h2>Contents</h2><ol>{links}</ol></nav>'
    return page(f"Churn model {data.model_version}", f"{first_screen(data)}{contents}{body}")
