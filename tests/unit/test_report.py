import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pytest

from churn.errors import TooLittleData
from tests.report_example import earlier, example, table_example, usability
from training import model_card, report
from training.empc import Campaign
from training.findings import findings
from training.groups import group
from training.metrics import evaluate
from training.next_steps import next_steps
from training.plots import days, honesty, money, parts
from training.report.first import first_screen, when
from training.report.origin import learnt_from
from training.report.quality import holding, over_days, whom
from training.verdicts import Gate, Outcome

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Outline(HTMLParser):
    """Reads a page as a reader does: tags in balance, words, headings, and each plot's words."""

    def __init__(self, text):
        super().__init__()
        self.open, self.words, self.headings, self.levels, self.links = [], "", [], [], []
        self.ids, self.titles, self.descriptions, self.heads = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3"):
            self.levels.append(int(tag[1]))
            self.headings.append("")
        if tag == "a":
            self.links.append(attributes["href"])
        if tag == "th":
            self.heads.append(attributes["scope"])
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "svg":
            assert attributes["role"] == "img"
            assert set(attributes["aria-labelledby"].split())
            self.named = attributes["aria-labelledby"].split()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside in ("h1", "h2", "h3"):
            self.headings[-1] += data
        if self.open[-2:] == ["svg", "title"]:
            self.titles.append(data)
        if self.open[-2:] == ["svg", "desc"]:
            self.descriptions.append(data)
        if "style" not in self.open:
            self.words += data + " "


def svgs(html):
    return re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)


def titles(section):
    return Outline(section).titles


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
    assert len(outline.titles) == len(outline.descriptions) == html.count("<svg") == 36
    assert set(outline.titles) <= set(outline.headings)
    for title in outline.titles:
        assert len(title) > 25, title
        assert re.search(r"\d|No outcome|learnt", title), f"{title!r} holds no finding"


def test_every_plot_names_its_axes(html):
    for svg in svgs(html):
        assert len(re.findall("role-axis-title", svg)) >= 1
        assert not re.search(r"role-axis-title[^/]*?><text[^>]*></text>", svg)


def test_every_plot_is_named_for_those_who_hear_it(html):
    for svg in svgs(html):
        labelled, *_ = re.findall(r'aria-labelledby="([^"]+)"', svg)
        assert all(f'id="{name}"' in svg for name in labelled.split())


def test_headings_come_in_order_and_every_table_has_headers(outline, html):
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    pairs = zip(outline.levels, outline.levels[1:], strict=False)
    assert all(after - before <= 1 for before, after in pairs)
    assert html.count("<table") == html.count("<caption>") == html.count("<thead>")
    assert set(outline.heads) == {"col", "row"}


def test_no_colour_alone_tells_one_model_from_another(html):
    for svg in svgs(html):
        if "Recency rule" in svg and "LightGBM defaults" in svg and "role-legend" in svg:
            assert len(set(re.findall(r'stroke-dasharray="([^"]+)"', svg))) >= 4


def test_the_first_screen_holds_every_models_figures(data, outline):
    first = outline.words.split("Is it better than a simple rule?")[0]
    for name, probability in data.probabilities.items():
        metrics = evaluate(data.is_churn, probability)
        assert f"{metrics.roc_auc:.3f} [" in first, name
        assert f"{metrics.log_loss:.3f} [" in first, name
    assert "buys nothing in the next 60 days" in first


def test_what_the_data_says_cannot_become_markup(html, outline):
    assert "<one>" not in html
    assert "<script" not in html
    assert "Only <one> season & no more." in outline.words
    # As a note of the log, a category, a feature's words and one of its values.
    assert outline.words.count("<script>") >= 4


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
    assert sum(stage.metrics.n for stage in found.stages) == len(data.is_churn)
    tested = [day for day in found.dates if day.name in set(data.as_of.astype(str))]
    assert sum(day.metrics.n for day in tested) == len(data.is_churn)
    assert [day.name for day in found.dates] == sorted(day.name for day in found.dates)
    assert len(found.dates) == 4


def test_a_part_has_the_figures_of_its_own_customers(data):
    y, p = data.is_churn, data.probabilities["keepwell"]
    for name, rows in (("one-time buyers", data.is_one_time), ("repeat buyers", ~data.is_one_time)):
        part = next(stage for stage in findings(data).stages if stage.name == name)
        assert part.churn_rate.value == y[rows].mean()
        assert part.predicted == pytest.approx(p[rows].mean())
        assert part.metrics == evaluate(y[rows], p[rows])
        assert part.roc_auc.low < part.roc_auc.value < part.roc_auc.high
    tea = next(part for part in findings(data).categories if part.name == "tea")
    assert tea.metrics.n == (data.category == "tea").sum()


def test_small_categories_are_told_together_and_customers_without_one_left_out():
    names = np.array(["tea"] * 300 + ["soap"] * 200 + [f"rare-{i}" for i in range(60)] + [""] * 40)
    found = findings(example(category=names.astype(object)))
    assert [(part.name, part.metrics.n) for part in found.categories] == [
        ("tea", 300),
        ("soap", 200),
        ("60 other categories together", 60),
    ]
    assert findings(example(category=np.full(600, "tea", dtype=object))).categories == ()


def test_the_titles_hold_the_datas_own_figures(data, outline):
    y, p = data.is_churn, data.probabilities["keepwell"]
    own = evaluate(y, p)
    told = " / ".join(outline.titles)
    assert f"hold {own.top_decile_lift:.2f} times as many leavers" in told
    assert f"stayer, {100 * own.roc_auc:.0f} are ranked the right way" in told
    riskiest = np.argsort(-p)[:120]
    assert f"riskiest 20% reaches {y[riskiest].sum() / y.sum():.0%} of those who left" in told
    assert f"off by {own.ece * 100:.1f} points on average" in told
    assert f"had been given {np.median(p[y]):.0%} or more" in told
    once = data.is_one_time
    expected = f"One-time buyers: {p[once].mean():.0%} were expected to leave, {y[once].mean():.0%}"
    assert expected in told
    assert "Silence moves risk most: 54% of all that is moved" in told
    assert "Of the customers who come back 80% do so within 60 days, the horizon" in told
    assert "most in 2026-09 (109), fewest in 2026-02 (102)" in told
    assert "Between 60% (2026-01-05) and 66%" in told


def test_a_features_plot_tells_its_own_values_and_units(data, outline):
    told = next(t for t in outline.titles if t.startswith("Days since the last purchase"))
    assert re.fullmatch(
        r"Days since the last purchase: \d+% left around \d+ days, \d+% around [\d.]+ days", told
    )
    high, low = (int(share) for share in re.findall(r"(\d+)%", told))
    silence = data.drivers[0].values
    far, near = (
        data.is_churn[rows].mean()
        for rows in (
            silence >= np.nanquantile(silence, 0.9),
            silence <= np.nanquantile(silence, 0.1),
        )
    )
    assert high == pytest.approx(100 * far, abs=6)
    assert low == pytest.approx(100 * near, abs=6)
    weekday = next(t for t in outline.titles if t.startswith("Weekday of the last purchase"))
    assert re.search(r"left where it is \w+day, \d+% where it is \w+day", weekday)


def test_risk_over_the_days_tells_the_widest_miss(data):
    (told,) = titles(over_days(data))
    assert "60 days)" in told or "30 days)" in told  # what is not known yet is no miss
    blind = replace(data.curves[0], bought_nothing=np.full((600, 3), np.nan))
    (told,) = titles(over_days(example(curves=(blind,))))
    assert told.startswith("As of 2026-01-05: after 90 days")
    assert "miss" not in told
    assert "too early to tell of 30 and 60 and 90 days" in over_days(example(curves=(blind,)))


def test_one_test_date_is_not_drawn_but_warned_of():
    one = np.full(600, "2026-07-19", dtype="datetime64[D]")
    text = holding(example(as_of=one, earlier=()))
    assert "on an earlier date as well, and one date can mislead" in text
    assert "<svg" not in text


def test_one_earlier_date_is_enough_to_compare():
    one = np.full(600, "2026-07-19", dtype="datetime64[D]")
    told = titles(holding(example(as_of=one, earlier=(earlier(date(2026, 5, 20), 600),))))
    assert sum("on 2 dates" in title for title in told) == 2


def test_a_role_that_does_not_occur_is_not_in_the_legend(data):
    assert "calibration" in days.calendar(data.calendar, 0, 60).svg
    used = [s for s in data.calendar if s.role != "calibration"]
    assert "calibration" not in days.calendar(used, 0, 60).svg


def test_a_calendar_that_leaks_is_called_so(outline):
    fine = "No outcome that was learnt from reaches past the test date, 2026-07-19"
    assert fine in outline.headings
    leaking = learnt_from(example(horizon_days=90, usability=None))
    assert "the test is flattered" in leaking


def test_gates_and_grade_are_on_the_first_screen(outline, data):
    first = outline.words.split("Contents")[0]
    assert data.grade.sentence in first
    assert "\u2713 passed" in first
    assert "! passed, with a warning" in first
    assert "all 2 passed" in first
    bare = Outline(first_screen(example(gates=(), grade=None))).words
    assert "Gate" not in bare


def test_a_failed_gate_is_told_first_and_before_everything_else(data):
    failed = Gate("leakage_column", "ROC AUC", 0.95, 0.7, Outcome.FAILED, "Column <x> knows all.")
    words = Outline(first_screen(example(gates=(*data.gates, failed)))).words
    assert words.index("It is not promoted: Column <x> knows all.") < words.index("ROC AUC, PR AUC")
    assert words.index("\u2717 failed") < words.index("! passed") < words.index("\u2713 passed")
    assert "1 of 3 failed" in words


def test_what_was_set_aside_is_told_with_its_reason_and_the_way_out(outline):
    assert "10 rows were set aside" in outline.words
    assert "amount unparseable" in outline.words
    assert "Amount is not a number: cast it in the query" in outline.words


def test_a_log_without_anything_set_aside_says_so():
    clean = usability(rows=1000, quarantined={}, notes=())
    words = Outline(learnt_from(example(usability=clean))).words
    assert "none was set aside" in words
    assert "Set aside because" not in words


def test_a_table_without_dates_stages_and_log_leaves_their_sections_out():
    text = report.render(table_example())
    outline = Outline(text)
    assert outline.open == []
    for absent in ("Does it hold over time?", "For whom does it work?", "What did it learn from?"):
        assert absent not in outline.headings
    assert "Is it better than a simple rule?" in outline.headings
    assert "a customer has Churn = 1" in outline.words
    assert "later than everything" not in outline.words
    assert "None" not in outline.words
    card = model_card.render(table_example())
    assert "None" not in card
    assert "## Quality on 600 customers" in card


def test_dates_are_named_as_people_would(data):
    assert when(data) == " as of 2026-07-19 and 2026-08-03"
    assert when(table_example()) == ""


@pytest.mark.parametrize("outcome", [False, True])
def test_one_outcome_only_still_makes_a_report(outcome):
    data = example(n=40, is_churn=np.full(40, outcome))
    headline = findings(data).headline()
    assert ("can tell apart" if outcome else "Log loss") in headline
    text = report.render(data)
    assert Outline(text).open == []
    assert "NaN" not in text
    assert "nan" not in Outline(text).words


def test_one_customer_and_no_baseline_still_make_a_report():
    lonely = example(
        n=1, drivers=(), families={}, usability=None, probabilities={"keepwell": np.array([0.4])}
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
    for heading in ("Data", "Quality", "Calibration", "Gates", "Intended use", "Limits"):
        assert f"\n## {heading}" in text
    assert "Not for:" in text
    assert "in the last 180 days: they get a status" in text
    assert len(text.splitlines()) < 140
    assert "**Grade B.**" in text
    assert "one-time buyers" in text


def test_the_card_and_the_report_print_the_same_figures(data, outline):
    text = model_card.render(data)
    for metrics in findings(data).metrics.values():
        assert f"{metrics.log_loss:.3f} [" in text
        assert f"{metrics.log_loss:.3f} [" in outline.words
    assert findings(data).headline() in text


def test_every_table_of_the_card_is_as_wide_as_its_head(data):
    for block in model_card.render(data).split("\n\n"):
        if block.startswith("|"):
            cells = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
            assert len(cells) == 1, block


def test_a_logs_own_names_do_not_become_markup_in_the_card(data):
    rows = [line for line in model_card.render(data).splitlines() if "alert" in line]
    assert any(line.startswith("|") for line in rows)
    for line in rows:
        if line.startswith("|"):
            assert "\\<script\\>" in line
            assert "\\`x\\`" in line


def test_probabilities_that_are_off_by_more_than_chance_are_warned_of():
    honest = example(4000)
    own = honest.probabilities["keepwell"]
    gloomy = example(4000, probabilities={"keepwell": np.sqrt(own)})
    assert honest.cautions == honest.warnings
    caution, *dates = gloomy.cautions
    assert f"off by {gloomy.findings.metrics['keepwell'].ece:.3f} on average" in caution
    assert "rely on the order" in caution
    assert all("expected" in told for told in dates)
    assert "more than chance explains" in first_screen(gloomy)


def test_probabilities_a_little_off_are_not_called_worthless():
    honest = example(4000)
    chance = honest.findings.floor.p95
    own = np.clip(honest.probabilities["keepwell"] + chance + 0.005, 0, 1)
    slightly = example(4000, probabilities={"keepwell": own})
    assert chance < slightly.findings.metrics["keepwell"].ece < chance + 0.02
    assert "good to plan with" in slightly.cautions[0]


def test_a_date_that_was_foretold_badly_is_warned_of():
    fine = example(3000)
    assert not any("the same procedure expected" in told for told in fine.cautions)
    badly = replace(fine.earlier[0], probability=np.sqrt(fine.earlier[0].probability))
    (told,) = (line for line in example(3000, earlier=(badly,)).cautions if "procedure" in line)
    assert f"{badly.probability.mean():.0%} to leave and {badly.is_churn.mean():.0%} did" in told
    assert told in Outline(first_screen(example(3000, earlier=(badly,)))).words


def test_one_test_date_has_one_interval_wherever_it_is_told():
    data = example(as_of=np.full(600, "2026-07-19", dtype="datetime64[D]"))
    test, overall = data.findings.dates[-1], data.findings.intervals["keepwell"]
    assert (test.roc_auc, test.log_loss) == (overall["roc_auc"], overall["log_loss"])
    two = example().findings
    assert two.dates[-1].log_loss != two.intervals["keepwell"]["log_loss"]


def test_a_part_of_a_few_customers_is_in_the_table_and_in_no_plot():
    once = np.zeros(600, dtype=bool)
    once[0] = True
    data = example(is_one_time=once, category=None, worth=None)
    stage = data.findings.stages[0]
    assert stage.metrics.n == 1
    assert honesty.reliability_of(stage, data.is_churn[:1], np.array([0.5]), "first") is None
    section = whom(data)
    assert "one-time buyers" in section
    assert titles(section) == []


def test_the_best_and_weakest_of_many_like_parts_are_not_called_apart():
    rng = np.random.default_rng(3)
    p = rng.beta(2.5, 1.8, 4000)
    left = rng.random(4000) < p
    many = [
        group(f"part {at}", left[rows], p[rows], 7)
        for at, rows in enumerate(np.array_split(np.arange(4000), 20))
    ]
    ends = sorted((part.roc_auc for part in many), key=lambda auc: auc.value)
    assert ends[0].high < ends[-1].low  # each by itself would say so
    assert any(part.misses for part in many)
    assert "which may be chance" in parts.ranking_by(many, "category").title
    assert "each as expected, within chance" in parts.rates_by(many, "category").title
    blind = group("blind", left[:400], rng.random(400), 7)
    assert "beyond chance" in parts.ranking_by([blind, *many], "category").title


def test_dates_that_came_as_expected_are_said_to():
    told = parts.predicted_over_dates(example(3000, earlier=()).findings.dates).title
    assert told.startswith("On each of 2 dates as many left as expected, within chance")


def test_a_campaign_that_earns_little_by_choosing_says_so():
    data = example(3000)
    models = {"keepwell": data.probabilities["keepwell"]}
    cheap = money.profit(data.is_churn, models, Campaign(incentive_cost=8.0), "EUR").title
    assert cheap.startswith("Whom to contact hardly matters at these costs")
    dear = money.profit(data.is_churn, models, Campaign(contact_cost=25.0), "EUR").title
    assert dear.startswith("Contacting the riskiest")


def test_the_next_steps_are_those_of_a_model_that_may_serve_or_of_one_that_may_not(data):
    first, *_ = next_steps(data)
    high = data.findings.bands[0]
    assert f"{high.customers:,} customers were in it, of whom {high.churn_rate:.0%} left" in first
    for told in next_steps(data):
        assert told in model_card.render(data)
    failed = Gate("leakage_column", "ROC AUC", 0.95, 0.7, Outcome.FAILED, "It knows all.")
    (only,) = next_steps(example(gates=(failed,)))
    assert only.startswith("Do not use it yet")
    assert "leakage_column" in only
