"""Keys: made, written, read, judged."""

import hashlib
import os
import stat
import threading
from pathlib import Path

import pytest

from churn.errors import ConfigError, KeepwellError
from service import instants
from service.access import keeping, keys
from service.access.holder import KeyHolder
from service.access.keys import Keys, KeyScope
from service.metrics import Metrics
from tests.keys import LATER, header, key, write

NOW = instants.parse("2026-11-21T12:00:00Z")
SCORE = {KeyScope.SCORE}
ENTRY = key("a1", SCORE).entry()


def judged(authorization: str | None, now: int = NOW) -> object:
    sent = None if authorization is None else authorization.encode("latin-1")
    return Keys([key("a1", SCORE), key("b2", SCORE, expires_at=NOW)]).judge(sent, now)


def test_a_new_key_is_judged_good_and_its_file_does_not_have_it() -> None:
    shown, made = keys.new("crm", SCORE, LATER)
    _, _, secret = shown.split("_")
    assert len(secret) == 64
    assert secret not in made.entry()
    assert made.digest == hashlib.sha256(secret.encode()).digest()
    read = keys.parse(made.entry(), Path("keys.toml"))
    assert read.all == (made,)
    assert read.judge(f"Bearer {shown}".encode(), NOW) == made
    assert keys.new("crm", SCORE, LATER)[0] != shown


def test_a_key_that_names_no_client_is_its_own() -> None:
    _, made = keys.new(None, SCORE, LATER)
    assert made.client == made.key_id


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_in_force_counts(scheme: str) -> None:
    assert judged(header("a1").replace("Bearer", scheme)) == key("a1", SCORE)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (None, "missing"),
        ("", "malformed"),
        ("Bearer", "malformed"),
        ("Basic " + header("a1").removeprefix("Bearer "), "malformed"),
        (header("a1").removeprefix("Bearer "), "malformed"),
        (header("a1").replace(" kw_", " "), "malformed"),
        (header("a1").replace(" kw_", " kx_"), "malformed"),
        (header("a1").replace(" ", "  "), "malformed"),
        (header("a1").rpartition("_")[0], "malformed"),
        ("Bearer kw_a1_", "malformed"),
        (header("a1") + "0" * 256, "malformed"),
        (header("a1") + " ", "unknown"),
        (header("a1")[:-1], "unknown"),
        (header("a1") + "0", "unknown"),
        (header("a1").replace("_a1_", "_c3_"), "unknown"),
        (header("a1").replace("_a1_", "_b2_"), "unknown"),
        (header("a1").replace("_a1_", "__"), "unknown"),
        (header("a1").upper().replace("BEARER KW_A1", "Bearer kw_a1"), "unknown"),
        ("Bearer kw_a1_\xff", "unknown"),
        (header("b2"), "expired"),
    ],
)
def test_every_other_does_not(sent: str | None, reason: str) -> None:
    assert judged(sent) == reason


def test_a_key_counts_until_the_instant_it_expires() -> None:
    assert judged(header("a1"), LATER - 1) == key("a1", SCORE)
    assert judged(header("a1"), LATER) == "expired"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[keys", "not valid TOML"),
        (ENTRY + ENTRY, "not valid TOML"),
        ("keys = 7", r"\[keys\] must hold one table for each key"),
        ("[key.a1]\n", "more than"),
        ("[keys]\na1 = 7\n", r"\[keys.a1\] must be a table"),
        (ENTRY.replace("[keys.a1]", "[keys.A1]"), "an id is wrong"),
        (ENTRY.replace("client", "clients"), r"\[keys.a1\]"),
        (ENTRY.replace('"crm"', '"c rm"'), r"\[keys.a1\] client must be 1 to 64"),
        (ENTRY.replace('"crm"', "7"), r"\[keys.a1\] client must be"),
        (ENTRY.replace('["score"]', "[]"), r"\[keys.a1\] scopes must be a list of one or more"),
        (ENTRY.replace('["score"]', '["scores"]'), "one or more of score, batch, events"),
        (ENTRY.replace('["score"]', '"score"'), r"\[keys.a1\] scopes must be"),
        (ENTRY.replace("2027-11-21T12:00:00Z", "2027-11-21T12:00:00"), "expires must be a time"),
        (ENTRY.replace("2027-11-21T12:00:00Z", "1795262400"), "expires must be a time"),
        (ENTRY.replace("2027-11-21T12:00:00Z", "9999-12-31T23:59:59-05:00"), "before 2200"),
        (ENTRY.replace("2027-11-21T12:00:00Z", "0001-01-01T00:00:00+05:00"), "before 2200"),
        (ENTRY.replace("2027-11-21T12:00:00Z", "2200-01-01T00:00:00Z"), "before 2200"),
        (ENTRY.replace('sha256 = "', 'sha256 = "0'), "sha256 must be the 64 hexadecimal"),
        ("\n".join(ENTRY.splitlines()[:-1]), "sha256 is missing"),
    ],
)
def test_a_wrong_file_is_one_line_that_says_where(text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"^keys\.toml: .*{told}") as caught:
        keys.parse(text, Path("keys.toml"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["crm", "a1", '"score"', key("a1", SCORE).digest.hex()])
def test_a_secret_in_a_wrong_place_is_not_repeated(place: str) -> None:
    shown = header("a1").removeprefix("Bearer ")
    if place == '"score"':
        shown = f'"{shown}"'
    with pytest.raises(ConfigError) as caught:
        keys.parse(ENTRY.replace(place, shown, 1) + "x = 1", Path("keys.toml"))
    assert header("a1")[-64:] not in str(caught.value)


def test_what_is_no_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `keepwell keys new` writes one"):
        keys.read(tmp_path / "keys.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        keys.read(tmp_path)
    (tmp_path / "latin.toml").write_bytes("é".encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8"):
        keys.read(tmp_path / "latin.toml")


def test_a_changed_file_is_taken_up_and_a_broken_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, metrics = write(tmp_path / "keys.toml", key("a1", SCORE)), Metrics()
    holder = KeyHolder(path, metrics)
    write(path, key("a1", SCORE), key("b2", SCORE))
    holder.refresh()
    both = holder.current
    assert [one.key_id for one in both.all] == ["a1", "b2"]
    path.write_text(ENTRY.replace("score", "scores"))
    holder.refresh()
    path.unlink()
    holder.refresh()
    holder.refresh()
    assert holder.current is both
    assert "the keys from before stay in force" in caplog.text
    count = metrics.registry.get_sample_value
    assert count("churn_key_reloads_total", {"result": "ok"}) == 2
    assert count("churn_key_reloads_total", {"result": "error"}) == 2
    write(path)
    holder.refresh()
    assert holder.current.all == ()


def test_a_key_is_added_to_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.toml"
    keeping.add(path, key("a1", SCORE), NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    path.write_text("# whose they are: see the wiki\n" + path.read_text())
    keeping.add(path, key("b2", SCORE), NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert path.read_text().startswith("# whose they are")
    assert keys.read(path).all == (key("a1", SCORE), key("b2", SCORE))
    assert os.listdir(path.parent) == ["keys.toml"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "link.toml").symlink_to(tmp_path / "keys.toml")
    keeping.add(tmp_path / "link.toml", key("a1", SCORE), NOW)
    assert (tmp_path / "link.toml").is_symlink()
    assert len(keys.read(tmp_path / "keys.toml").all) == 1


def test_a_client_has_two_keys_in_force_at_most(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    for key_id, expires_at in (("a1", LATER), ("b2", NOW), ("c3", LATER)):
        keeping.add(path, key(key_id, SCORE, expires_at=expires_at), NOW)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="crm has two keys in force, a1 and c3; take one"):
        keeping.add(path, key("d4", SCORE), NOW)
    assert path.read_bytes() == before
    keeping.add(path, key("d4", SCORE, client="shop"), NOW)


def test_a_wrong_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("[keys")
    with pytest.raises(ConfigError, match="not valid TOML"):
        keeping.add(path, key("a1", SCORE), NOW)
    with pytest.raises(ConfigError):
        keeping.add(tmp_path, key("a1", SCORE), NOW)
    with pytest.raises(KeepwellError, match="cannot be written"):
        keeping.add(path / "keys.toml", key("a1", SCORE), NOW)
    assert path.read_text() == "[keys"


def test_of_keys_that_are_added_together_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"

    def add(number: int) -> None:
        keeping.add(path, key(f"k{number}", SCORE, client=f"c{number}"), NOW)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {one.key_id for one in keys.read(path).all} == {f"k{number}" for number in range(8)}
