import re
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest

from churn.errors import TooLittleData
from tests.report_example import example
from training import model_card, plots, report
from training.metrics import evaluate
from training.report_data import findings

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Outline(HTMLParser):
    """Reads a page as a reader does: its tags in balance, its words, its headings, its figures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.headings, self.figures, self.links = [], "", [], [], []
        self.ids = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if attributes.get("role") == "img":
            self.figures.append(attributes["aria-label"])
        if tag == "a":
            self.links.append(attributes["href"])
        if "id" in attributes:
            self.ids.append(attributes["id"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)
        if "style" not in self.open:
            self.words += data + " "


@pytest.fixture(scope="module")
def data():
    return example(warnings=("Only <one> season & no more.",))


@pytest.fixture(scope="module")
def html(data):
    return report.render(data)


@pytest.fixture(scope="module")
def outline(html):
    return Outline(html)


def test_the_file_asks_nothing_of_a_network(html):
    addresses = set(re.findall(r"[a-z]+://[^\s\"'<>)]+", html))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"\b(src|srcset|action|data)=", html)
    assert "default-src 'none'" in html


def test_every_tag_is_closed_and_every_link_leads_somewhere(outline):
    assert outline.open == []
    assert outline.links
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)
    assert len(outline.ids) == len(set(outline.ids))


def test_every_plot_says_in_words_what_to_see(html, outline):
    assert len(outline.figures) == html.count("<svg") == 14
    assert all(len(words) > 30 for words in outline.figures)
    for words in outline.figures:
        assert any(words.startswith(heading) for heading in outline.headings)


def test_every_plot_with_axes_names_them(html):
    for svg in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL):
        assert "role-axis-title" in svg


def test_the_first_screen_holds_every_models_figures(data, outline):
    first = outline.words.split("Is it better than a simple rule?")[0]
    for name, probability in data.probabilities.items():
        metrics = evaluate(data.is_churn, probability)
        assert f"{metrics.roc_auc:.3f} [" in first, name
        assert f"{metrics.log_loss:.3f} [" in first, name
    assert "buys nothing in the next 60 days" in first


def test_what_the_data_says_cannot_become_markup(html, outline):
    assert "<dropped>" not in html
    assert "<one>" not in html
    assert "255 duplicate rows <dropped> & counted" in outline.words
    assert "Only <one> season & no more." in outline.words


def test_the_headline_says_better_only_where_the_interval_does():
    better = findings(example(n=2000)).headline()
    assert "ranks customers better (ROC AUC +" in better
    own = example(n=2000)
    alike = example(n=2000, probabilities={"keepwell": own.probabilities["keepwell"],
                                           "rfm_lr": own.probabilities["keepwell"]})  # fmt: skip
    assert "equally well (ROC AUC +0.000" in findings(alike).headline()
    swapped = {
        "keepwell": own.probabilities["bgnbd"],
        "bgnbd": own.probabilities["keepwell"],
    }
    worse = findings(example(n=2000, probabilities=swapped)).headline()
    assert "ranks customers worse (ROC AUC -" in worse
    assert "probabilities are worse (log loss +" in worse


def test_the_best_simple_rule_is_the_one_with_the_lowest_log_loss(data):
    found = findings(data)
    rules = {name: m.log_loss for name, m in found.metrics.items() if name != "keepwell"}
    assert found.best_rule == min(rules, key=rules.get)
    assert next(iter(found.metrics)) == "keepwell"


def test_bands_split_the_customers_at_the_thresholds():
    p = np.array([0.1, 0.6, 0.79, 0.8, 1.0, 0.2])
    y = np.array([False, True, False, True, True, False])
    data = example(
        n=6,
        is_churn=y,
        probabilities={"keepwell": p},
        as_of=np.full(6, "2026-07-19", dtype="datetime64[D]"),
        is_one_time=y,
    )
    bands = {b.name: (b.customers, b.churn_rate) for b in findings(data).bands}
    assert bands == {"high": (2, 1.0), "medium": (2, 0.5), "low": (2, 0.0)}


def test_stages_and_dates_cover_the_same_customers(data):
    found = findings(data)
    assert sum(m.n for m in found.by_stage.values()) == len(data.is_churn)
    assert sum(m.n for m in found.by_date["bgnbd"].values()) == len(data.is_churn)
    assert all(isinstance(day, date) for day in found.by_date["keepwell"])


def test_one_test_date_is_not_drawn_but_warned_of():
    one = np.full(600, "2026-07-19", dtype="datetime64[D]")
    text = report.render(example(as_of=one))
    assert text.count("<svg") == 12
    assert "One test date can mislead" in text
    assert Outline(text).open == []


def test_a_role_that_does_not_occur_is_not_in_the_legend(data):
    assert "calibration" in plots.calendar(data.calendar, 0, 60)
    used = [s for s in data.calendar if s.role != "calibration"]
    assert "calibration" not in plots.calendar(used, 0, 60)


def test_a_calendar_that_leaks_is_called_so(data, outline):
    assert "No outcome learnt from reaches past the first test date" in outline.headings
    leaking = report.render(example(horizon_days=90))
    assert "the test is flattered" in leaking


@pytest.mark.parametrize("outcome", [False, True])
def test_one_outcome_only_still_makes_a_report(outcome):
    data = example(n=40, is_churn=np.full(40, outcome))
    headline = findings(data).headline()
    assert ("can tell apart" if outcome else "Log loss") in headline
    text = report.render(data)
    assert Outline(text).open == []
    # No difference in ROC AUC to draw.
    assert text.count("<svg") == 13
    assert "NaN" not in text


def test_one_customer_and_no_baseline_still_make_a_report():
    lonely = example(
        n=1, features=(), families={}, usability=(), probabilities={"keepwell": np.array([0.4])}
    )
    assert "on 1 customers it had not seen" in findings(lonely).headline()
    assert Outline(report.render(lonely)).open == []


def test_nobody_to_test_on_is_said_in_words():
    with pytest.raises(TooLittleData):
        report.render(example(n=0))


def test_the_report_is_the_same_bytes_for_the_same_facts(data, html, tmp_path):
    report.write(tmp_path / "report.html", data)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == html


def test_the_card_holds_purpose_data_quality_limits_and_use(data, tmp_path):
    model_card.write(tmp_path / "model_card.md", data)
    text = (tmp_path / "model_card.md").read_text(encoding="utf-8")
    assert text.startswith("# Model card: 2026-11-20T18-03-11Z-5f2c\n")
    for heading in ("Data", "Quality", "Calibration", "Intended use", "Limits"):
        assert f"\n## {heading}" in text
    assert "Not for:" in text
    assert "in the last 180 days: they get a status" in text
    assert len(text.splitlines()) < 100


def test_the_card_and_the_report_print_the_same_figures(data, outline):
    text = model_card.render(data)
    for metrics in findings(data).metrics.values():
        assert f"{metrics.log_loss:.3f} [" in text
        assert f"{metrics.log_loss:.3f} [" in outline.words
    assert findings(data).headline() in text


def test_every_table_of_the_card_is_as_wide_as_its_head(data):
    for block in model_card.render(data).split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_probabilities_that_are_off_by_more_than_chance_are_warned_of():
    honest = example(4000)
    own = honest.probabilities["keepwell"]
    gloomy = example(4000, probabilities={"keepwell": np.sqrt(own)})
    assert honest.cautions == honest.warnings
    (caution,) = gloomy.cautions
    assert f"off by {gloomy.findings.metrics['keepwell'].ece:.3f} on average" in caution
    assert "more than chance explains" in report.render(gloomy)
