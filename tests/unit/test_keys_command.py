"""`keepwell keys`: a key is shown once, and what is kept of it can be listed."""

import json
import stat
from pathlib import Path

import pytest

from cli.main import run
from service import instants
from service.access import keys

Told = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEEPWELL_KEYS_FILE", raising=False)


def new(*more: str) -> int:
    return run(["keys", "new", "--scopes", "score,batch", "--client", "crm", *more])


def test_a_new_key_goes_to_stdout_and_its_entry_to_the_file(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "keys.toml"
    assert new("--file", str(path), "--expires", "2030-01-31") == 0
    said = capsys.readouterr()
    shown = said.out.strip()
    assert "once" in said.err
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shown.rpartition("_")[2] not in path.read_text() + said.err
    now = instants.now()
    key = keys.read(path).judge(f"Bearer {shown}".encode(), now)
    assert isinstance(key, keys.Key)
    assert (key.client, sorted(key.scopes)) == ("crm", ["batch", "score"])
    assert key.expires_at == instants.parse("2030-01-31T00:00:00Z")


def test_the_file_may_be_that_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEEPWELL_KEYS_FILE", str(tmp_path / "keys.toml"))
    assert [new(), new()] == [0, 0]
    assert len(keys.read(tmp_path / "keys.toml").all) == 2
    assert new() == 2  # the third of a client


def test_without_a_file_the_entry_is_told(capsys: Told) -> None:
    assert new("--expires", "30d") == 0
    said = capsys.readouterr()
    entry = said.err.partition("\n\n")[2]
    (key,) = keys.parse(entry, Path("keys.toml")).all
    assert said.out.startswith(f"kw_{key.key_id}_")
    left = key.expires_at - instants.now()
    assert 29.99 < left / 86_400_000_000 <= 30


def test_json_is_one_document(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "keys.toml"
    assert new("--json") == 0
    told = json.loads(capsys.readouterr().out)
    path.write_text(told["entry"])
    assert told["key"].startswith(f"kw_{told['id']}_")
    assert run(["keys", "list", "--file", str(path), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed == {
        "id": told["id"],
        "client": "crm",
        "scopes": ["batch", "score"],
        "expires": told["expires"],
        "in_force": True,
    }


def test_a_list_says_what_is_in_force_and_what_soon_is_not(tmp_path: Path, capsys: Told) -> None:
    path = tmp_path / "keys.toml"
    new("--file", str(path), "--expires", "10d")
    _, past = keys.new("shop", {keys.KeyScope.ADMIN}, instants.parse("2020-01-01T00:00:00Z"))
    path.write_text(path.read_text() + past.entry())
    capsys.readouterr()
    assert run(["keys", "list", "--file", str(path)]) == 0
    crm, shop = capsys.readouterr().out.splitlines()
    assert "crm" in crm
    assert ", 9 days" in crm
    assert "expired 2020-01-01" in shop
    assert shop.endswith("admin")
    path.write_text("")
    assert run(["keys", "list", "--file", str(path)]) == 0
    assert "no keys in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["new"], "--scopes"),
        (["new", "--scopes", "score,all"], "--scopes must be one or more of score, batch"),
        (["new", "--scopes", ""], "--scopes must be"),
        (["new", "--scopes", "score", "--client", "a b"], "--client must be"),
        (["new", "--scopes", "score", "--expires", "soon"], "--expires must be days such as 90d"),
        (["new", "--scopes", "score", "--expires", "0d"], "--expires must be"),
        (["new", "--scopes", "score", "--expires", "2020-01-01"], "--expires lies in the past"),
        (["list"], "KEEPWELL_KEYS_FILE"),
        (["list", "--file", "nowhere.toml"], "no such file"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(arguments: list[str], told: str, capsys: Told) -> None:
    assert run(["keys", *arguments]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""
