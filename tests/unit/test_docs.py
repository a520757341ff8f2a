"""Documentation that cannot drift: what it names exists, and what exists is named."""

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app
from service.settings import PREFIX, Settings
from training.config import Config
from training.table.config import TableConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/**/README.md"))
    if not {".venv", "node_modules"} & set(page.relative_to(ROOT).parts)
)
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ELSEWHERE = {"KEEPWELL_NUMBA", "KEEPWELL_EVAL_DATA", "KEEPWELL_SIGNING_KEY_FILE"}


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every `keepwell` and `make` line of every page, in a block or in the text."""
    for page in PAGES:
        text = page.read_text()
        blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        inline = re.findall(r"`((?:keepwell|make) [^`]+)`", prose)
        for line in (*"\n".join(blocks).splitlines(), *inline):
            if re.match(r"(?:\$ )?(?:\S*/)?(?:keepwell|make)\b", line):
                words = shlex.split(line.removeprefix("$ "), comments=True)
                yield f"{page.name}: {line}", [Path(words[0]).name, *words[1:]]


LINES = dict(command_lines())
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_pages_name_commands() -> None:
    named = {words[1] for words in LINES.values() if words[0] == "keepwell"}
    assert named == set(get_command(app).commands)


@pytest.mark.parametrize("line", [line for line, words in LINES.items() if words[0] == "make"])
def test_every_make_target_that_is_named_exists(line: str) -> None:
    targets = {word for word in LINES[line][1:] if "=" not in word}
    assert targets <= TARGETS


@pytest.mark.parametrize("line", [line for line, words in LINES.items() if words[0] == "keepwell"])
def test_every_command_that_is_named_parses(line: str) -> None:
    command = get_command(app)
    words = LINES[line][1:]
    # `a | b | c` in the text stands for any one of them; CAPITALS stand for a value.
    choices = [word for word in words if word not in {"|", "..."}]
    while choices and hasattr(command, "commands") and choices[0] in command.commands:
        group, name = command, choices.pop(0)
        command = command.commands[name]
        while "|" in words and choices and choices[0] in group.commands:
            choices.pop(0)
    options = {name for parameter in command.params for name in parameter.opts}
    assert not hasattr(command, "commands") or "|" in words or not choices, f"{choices} in {line}"
    assert {word for word in choices if word.startswith("-")} <= options


def test_every_setting_of_the_service_is_documented_and_no_other() -> None:
    settings = {PREFIX + name.upper() for name in Settings.model_fields}
    assert set(re.findall(rf"^\| `({PREFIX}\w+)`", CONFIGURATION, re.MULTILINE)) == settings
    for page in PAGES:
        named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", page.read_text()))
        assert named <= settings | ELSEWHERE, page


def test_the_documented_defaults_of_the_service_are_the_true_ones() -> None:
    rows = dict(re.findall(rf"^\| `{PREFIX}(\w+)` \| `?([^|`]+)`? \|", CONFIGURATION, re.MULTILINE))
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = f"{int(default) if isinstance(default, bool) else default}".removesuffix(".0")
        assert rows[name.upper()].strip() == shown


def test_every_key_of_the_configuration_file_is_documented_and_no_other() -> None:
    keys = {
        f"{table}.{key}"
        for table, section in (
            Config.model_fields | {"table": TableConfig.model_fields["table"]}
        ).items()
        for key in section.annotation.model_fields
    }
    named = set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", CONFIGURATION, re.MULTILINE))
    assert named == keys


def test_every_endpoint_that_is_named_is_in_the_contract() -> None:
    paths = json.loads((ROOT / "openapi" / "openapi.json").read_text())["paths"]
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`(?:GET|POST) (/[a-z0-9/]*)`", readme))
    assert len(named) >= 5
    assert named <= set(paths)
    assert {path for path in paths if path.startswith(("/health", "/metrics"))} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, place = target.partition("#")
        led = page.parent / path if path else page
        assert led.exists(), target
        assert not place or place in places(led), target


def places(page: Path) -> set[str]:
    """What the headings of a page are called in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_the_first_request_is_the_one_that_make_run_sends_and_its_answer_has_its_form() -> None:
    readme = (ROOT / "README.md").read_text()
    script = (ROOT / "examples" / "cdnow" / "run.py").read_text()
    request = re.search(r'REQUEST = """(.*?)"""', script, re.DOTALL)
    assert request is not None
    assert f"-d '{request[1]}'" in readme
    answer = json.loads(re.findall(r"^```json\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)[0])
    contract = json.loads((ROOT / "openapi" / "openapi.json").read_text())
    assert set(answer) == set(contract["components"]["schemas"]["Score"]["properties"])
    assert answer["customer_id"] == json.loads(request[1])["customer_id"]


def test_the_map_names_every_package() -> None:
    readme = (ROOT / "README.md").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert f"[`{package}/`]({package})" in readme


def test_decisions_are_numbered_without_gaps_and_have_their_four_parts() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {int(page.name[:4])}. ")
        for part in ("Context", "Decision", "Consequences", "Alternatives"):
            assert f"\n## {part}\n" in text, page


def test_the_names_in_the_documents_are_not_placeholders() -> None:
    for page in PAGES:
        assert not re.search(r"\b(TODO|FIXME|TBD|XXX)\b", page.read_text()), page
