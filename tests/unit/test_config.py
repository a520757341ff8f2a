import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from churn.errors import ConfigError
from training.config import Config, Section, from_mapping, load, parse, template

PATH = Path("/shop/keepwell.toml")
QUERY = "[events]\nquery = \"SELECT * FROM 'log.parquet'\"\n"

FULL_EXAMPLE = """
[events]
query = "SELECT 1"
timezone = "UTC"
complete_until = 2011-12-10

[problem]
horizon_days = 60
lead_time_days = 0
inactivity_days = 180
observation_window_days = 730

[training]
snapshot_every_days = 15
seed = 7

[business]
currency = "RUB"
margin_rate = 0.30
value_horizon_days = 365
"""


def test_everything_but_the_query_has_a_default() -> None:
    config = parse(QUERY, PATH)
    assert config.events.timezone == "UTC"
    assert config.complete_until_us is None
    assert config.problem.horizon_days == 60
    assert config.problem.lead_time_days == 0
    assert config.problem.inactivity_days == 180
    assert config.problem.observation_window_days == 730
    assert config.training.seed == 7
    assert config.business.currency == "RUB"
    assert config.business.margin_rate == 0.30
    assert config.business.value_horizon_days == 365


def test_a_file_with_every_key_is_read() -> None:
    config = parse(FULL_EXAMPLE, PATH)
    assert config.training.snapshot_every_days == 15
    assert config.complete_until_us == int(datetime(2011, 12, 10, tzinfo=UTC).timestamp()) * 10**6


def test_paths_are_relative_to_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "keepwell.toml").write_text(QUERY)
    config = load(tmp_path / "keepwell.toml")
    assert config.base_dir == tmp_path
    assert config.path == tmp_path / "keepwell.toml"


@pytest.mark.parametrize("until", ["2011-03-27", '"2011-03-27"', "2011-03-27T00:00:00"])
def test_complete_until_is_read_in_the_time_zone_of_the_log(until: str) -> None:
    config = parse(f'{QUERY}timezone = "Asia/Tokyo"\ncomplete_until = {until}\n', PATH)
    expected = datetime(2011, 3, 26, 15, tzinfo=UTC)
    assert config.complete_until_us == int(expected.timestamp()) * 10**6


def test_complete_until_keeps_an_offset_it_names() -> None:
    config = parse(f"{QUERY}complete_until = 2011-03-27T00:00:00.5-01:00\n", PATH)
    assert config.complete_until_us == 1_301_187_600_500_000


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            "[problem]\nhorizon_days = 0",
            "line 4: [problem] horizon_days must be at least 1, not 0",
        ),
        (
            "[problem]\n\nhorizont_days = 30",
            "line 5: unknown key [problem] horizont_days; did you mean 'horizon_days'?",
        ),
        ("[problems]\nhorizon_days = 3", "unknown table [problems]; did you mean 'problem'?"),
        ("horizon_days = 3", "unknown key [events] horizon_days; it belongs in [problem]"),
        ("[problem]\nhorizon_days = '60'", "horizon_days must be a whole number, not '60'"),
        ("[problem]\nhorizon_days = 60.5", "horizon_days must be a whole number, not 60.5"),
        ("[problem]\nlead_time_days = true", "lead_time_days must be a whole number, not True"),
        ("[problem]\nlead_time_days = -1", "lead_time_days must be at least 0, not -1"),
        ("[problem]\nhorizon_days = 99999", "horizon_days must be at most 3650, not 99999"),
        (
            "[problem]\ninactivity_days = 900",
            "observation_window_days (730) must be at least inactivity_days (900)",
        ),
        ("timezone = 'Europe/Lundon'", "not 'Europe/Lundon'; did you mean 'Europe/London'?"),
        ("timezone = '../etc/passwd'", "timezone must be a time zone"),
        ("complete_until = 'soon'", "complete_until must be a date such as 2011-12-10"),
        ("complete_until = 20111210", "complete_until must be a date such as 2011-12-10"),
        ("[training]\nseed = -1", "[training] seed must be at least 0, not -1"),
        ("[business]\nmargin_rate = 0", "margin_rate must be more than 0, not 0"),
        ("[business]\nmargin_rate = 30", "margin_rate must be at most 1, not 30"),
        ("[business]\nmargin_rate = nan", "margin_rate must be a finite number"),
        ("[business]\ncurrency = 'rub'", "currency must be three capital letters"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(lines: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse(QUERY + lines + "\n", PATH)
    assert str(caught.value).startswith("/shop/keepwell.toml, line ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "/shop/keepwell.toml: [events] query is missing"),
        ("[events]\ntimezone = 'UTC'", "line 1: [events] query is missing"),
        ("[events]\nquery = '  '", "query must be a SELECT statement, but it is empty"),
        ("[events]\nquerry = ''", "line 2: unknown key [events] querry; did you mean 'query'?"),
        ("events = 3", "line 1: [events] must be a table such as [events], not 3"),
        ("x = 3\n" + QUERY, "line 1: unknown key x"),
        ("[events\nquery = 1", "not valid TOML: Expected ']'"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(text, PATH)


def test_several_problems_are_told_by_the_first_and_their_number() -> None:
    with pytest.raises(ConfigError, match=r"horizon_days must be .*, not 0 \(and 1 more\)$"):
        parse(f"{QUERY}[problem]\nhorizon_days = 0\nlead_time_days = -1\n", PATH)


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; `keepwell init DIR` writes one"):
        load(tmp_path / "keepwell.toml")


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keepwell.toml").write_bytes(b"[events]\n\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(tmp_path / "keepwell.toml")


def test_a_mapping_is_checked_like_a_file() -> None:
    assert from_mapping({"events": {"query": "SELECT 1"}}, PATH).base_dir == Path("/shop")
    with pytest.raises(ConfigError, match="unknown key"):
        from_mapping({"events": {"query": "SELECT 1", "zone": "UTC"}}, PATH)


def test_the_template_loads_and_holds_the_defaults() -> None:
    written = parse(template(), PATH)
    defaults = parse(QUERY, PATH)
    assert written.problem == defaults.problem
    assert written.training == defaults.training
    assert written.business == defaults.business
    assert written.events.timezone == defaults.events.timezone


def test_the_template_documents_every_key() -> None:
    lines = template().splitlines()
    for name, table in Config.model_fields.items():
        section = table.annotation
        assert isinstance(section, type)
        assert issubclass(section, Section)
        start = lines.index(f"[{name}]")
        for key, field in section.model_fields.items():
            at = next(
                number
                for number, line in enumerate(lines[start:], start)
                if re.match(rf"(# )?{key} = ", line)
            )
            assert lines[at - 1].startswith("# ")
            assert field.description


def test_settings_that_the_template_leaves_commented_load_too() -> None:
    uncommented = re.sub(r"^# (\w+ = )", r"\1", template(), flags=re.MULTILINE)
    config = parse(uncommented, PATH)
    assert config.training.snapshot_every_days == 15
    assert config.complete_until_us is not None
