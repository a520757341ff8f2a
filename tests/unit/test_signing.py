"""Signed bundles: what a signature binds, who is trusted, and what is refused without one."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from churn import bundle
from churn.bundle import GOLDEN, MANIFEST, MODEL, SIGNATURE
from churn.errors import BundleCorrupt, BundleUntrusted, ConfigError, KeepwellError
from churn.examination import examine
from churn.registry import Registry
from churn.signing import BadSignature, Keys, SigningKey, TrustedKeys, shown
from cli.main import run
from cli.signing import signing_key
from service.settings import Settings
from service.trust import trusted
from tests import hostile
from tests.support import small_model

KEY, OTHER = SigningKey.generate(), SigningKey.generate()


def trusting(*keys: SigningKey) -> TrustedKeys:
    return TrustedKeys(frozenset(key.public for key in keys))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One signed version, promoted; its key is the one that is trusted."""
    registry = Registry(tmp_path / "models", Keys(trusting(KEY), KEY))
    registry.publish(*small_model())
    registry.promote(small_model()[0].model_version)
    return registry


def named(registry: Registry) -> str:
    version = registry.current()
    assert version is not None
    return version


def reading(registry: Registry, *keys: SigningKey) -> Registry:
    return Registry(registry.root, Keys(trusting(*keys) if keys else None))


def test_a_signed_version_is_loaded_by_those_who_trust_the_key(registry: Registry) -> None:
    version = named(registry)
    for keys in ((KEY,), (OTHER, KEY), ()):
        assert reading(registry, *keys).load(version).version == version


def test_a_version_that_a_stranger_signed_is_refused(registry: Registry) -> None:
    with pytest.raises(BundleUntrusted, match="which is not trusted"):
        reading(registry, OTHER).load(named(registry))
    with pytest.raises(BundleUntrusted):
        reading(registry, OTHER).promote(named(registry))


def test_an_unsigned_version_is_refused_where_keys_are_trusted(registry: Registry) -> None:
    (registry.path(named(registry)) / SIGNATURE).unlink()
    with pytest.raises(BundleUntrusted, match="only signed bundles are trusted"):
        registry.load(named(registry))
    assert reading(registry).load(named(registry))


@pytest.mark.parametrize("at", [0, 40, -100, -2])
def test_no_byte_of_a_signed_manifest_may_change(registry: Registry, at: int) -> None:
    file = registry.path(named(registry)) / MANIFEST
    raw = bytearray(file.read_bytes())
    raw[at] ^= 1
    file.write_bytes(raw)
    with pytest.raises(BundleUntrusted, match="signature of another manifest"):
        registry.load(named(registry))


def test_an_unsigned_manifest_is_not_even_parsed(registry: Registry) -> None:
    (registry.path(named(registry)) / MANIFEST).write_text("[" * 100_000)
    found = {check.name: check for check in examine(registry, named(registry))}
    assert (found["signature"].outcome, found["manifest"].outcome) == ("failed", "not reached")


def test_no_file_of_a_signed_bundle_may_change(registry: Registry) -> None:
    version = named(registry)
    for name in (MODEL, GOLDEN):
        file = registry.path(version) / name
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(BundleCorrupt, match="has changed"):
            registry.load(version)
        file.write_bytes(content)


def test_a_signed_bundle_is_no_other_version(registry: Registry) -> None:
    other = "2030-01-01T00-00-00Z-beef"
    shutil.copytree(registry.path(named(registry)), registry.root / other)
    with pytest.raises(BundleCorrupt, match="give the folder that name"):
        registry.load(other)


def test_a_signature_is_of_one_bundle_alone(registry: Registry) -> None:
    manifest, files = small_model()
    second = hostile.shifted(files, manifest, "2030-01-01T00-00-00Z-beef", 1.0)
    Registry(registry.root).publish(*second)
    first = registry.path(named(registry)) / SIGNATURE
    shutil.copy(first, registry.root / second[0].model_version / SIGNATURE)
    with pytest.raises(BundleUntrusted, match="signature of another manifest"):
        registry.load(second[0].model_version)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\n" * 500, b"ed25519:", shown(KEY.public).encode(),
     KEY.sign(b"x") * 2, KEY.sign(b"x").replace(b" ", b"  "), b"rsa:" + KEY.sign(b"x")[8:]],
)  # fmt: skip
def test_what_is_no_signature_is_refused(content: bytes) -> None:
    with pytest.raises(BadSignature, match="is no signature"):
        trusting(KEY).check(b"x", content)


def test_no_bit_of_a_signature_may_change() -> None:
    sound = KEY.sign(b"x")
    trusting(KEY).check(b"x", sound)
    for at in range(len(sound)):
        for bit in range(8):
            changed = bytearray(sound)
            changed[at] ^= 1 << bit
            with pytest.raises(BadSignature):
                trusting(KEY).check(b"x", bytes(changed))
        with pytest.raises(BadSignature):
            trusting(KEY).check(b"x", sound[:at])


def test_a_signature_of_the_bare_bytes_is_none_of_a_manifest() -> None:
    bare = base64.b64encode(KEY._private.sign(b"{}")).decode()
    line = f"{shown(KEY.public)} {bare}\n".encode()
    with pytest.raises(BadSignature):
        trusting(KEY).check(b"{}", line)
    trusting(KEY).check(b"{}", KEY.sign(b"{}"))


def test_a_trusted_key_that_is_no_point_verifies_nothing() -> None:
    weak = bytes(32)  # of small order: there are signatures that hold for it
    line = f"{shown(weak)} {'A' * 86}==\n".encode()
    with pytest.raises(BadSignature):
        TrustedKeys(frozenset([weak])).check(b"anything", line)


def test_keys_rotate(registry: Registry) -> None:
    version = named(registry)
    both = Registry(registry.root, Keys(trusting(KEY, OTHER), OTHER))
    both.load(version)
    with pytest.raises(BundleUntrusted):
        reading(registry, OTHER).load(version)
    both.sign(version)
    assert reading(registry, OTHER).load(version).version == version
    assert {entry.name for entry in registry.root.iterdir()} == {version, "current"}


def test_what_is_not_sound_is_not_signed(registry: Registry) -> None:
    (registry.path(named(registry)) / GOLDEN).write_bytes(b"{}")
    with pytest.raises(BundleCorrupt, match="has changed"):
        registry.sign(named(registry))


def test_what_changes_while_it_is_signed_is_not_signed(registry: Registry) -> None:
    folder = registry.path(named(registry))
    with pytest.raises(BundleCorrupt, match="changed while it was to be signed"):
        bundle.sign(folder, KEY, "0" * 64)


def test_training_where_only_signed_models_are_trusted_needs_a_trusted_key(tmp_path: Path) -> None:
    for keys, told in (
        (Keys(trusting(KEY)), "--signing-key"),
        (Keys(trusting(KEY), OTHER), "not among the trusted keys"),
    ):
        with pytest.raises(ConfigError, match=told):
            Registry(tmp_path, keys).check_writable()
    Registry(tmp_path, Keys(trusting(KEY, OTHER), OTHER)).check_writable()
    Registry(tmp_path, Keys(None, OTHER)).check_writable()


def test_trusted_keys_are_read_from_the_setting_and_the_file(tmp_path: Path) -> None:
    assert trusted(Settings()) is None
    file = tmp_path / "keys"
    file.write_text(f"# of November\n{shown(KEY.public)}  # the trainer's\n\n")
    assert trusted(Settings(trusted_keys_file=file)) == trusting(KEY)
    listed = f"{shown(OTHER.public)}, {shown(KEY.public)}"
    assert trusted(Settings(trusted_keys=listed)) == trusting(KEY, OTHER)
    both = Settings(trusted_keys=shown(OTHER.public), trusted_keys_file=file)
    assert trusted(both) == trusting(KEY, OTHER)
    file.write_text(shown(OTHER.public))
    assert trusted(both) == trusting(OTHER)


@pytest.mark.parametrize("text", ["", " , ", "# none", "ed25519:AAAA", "x", "ed25519:" + "A" * 44])
def test_keys_that_are_none_are_refused_and_not_taken_for_no_keys(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match="KEEPWELL_TRUSTED_KEYS:"):
        trusted(Settings(trusted_keys=text))
    with pytest.raises(ConfigError, match=r"KEEPWELL_TRUSTED_KEYS_FILE: .*keys"):
        trusted(Settings(trusted_keys_file=tmp_path / "keys"))


def test_a_lost_file_of_keys_trusts_nobody(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        trusted(Settings(trusted_keys_file=tmp_path / "lost"))


def test_a_generated_key_is_of_its_owner_alone_and_its_public_half_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key.pem"
    assert run(["models", "keygen", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert file.stat().st_mode & 0o777 == 0o600
    assert TrustedKeys.parse(told["public_key"], "x") == trusting(signing_key(file))
    assert run(["models", "keygen", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        signing_key(file)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\xff" * 100])
def test_a_private_key_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="no Ed25519 private key"):
        signing_key(file)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_a_key_of_openssl_signs_too(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    command = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    file.chmod(0o600)
    key = signing_key(file)
    trusting(key).check(b"x", key.sign(b"x"))


def test_the_command_line_refuses_what_is_not_trusted_and_signs(
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = named(registry)
    where = ["--models-dir", str(registry.root)]
    file = tmp_path / "other.pem"
    assert run(["models", "keygen", str(file)]) == 0
    monkeypatch.setenv("KEEPWELL_TRUSTED_KEYS", capsys.readouterr().out.strip())
    for command in ("promote", "show"):
        assert run(["models", command, version, *where]) == 1
        assert "is not trusted" in capsys.readouterr().err
    assert run(["models", "verify", "--json", *where]) == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert [one["name"] for one in told["checks"] if one["outcome"] == "failed"] == ["signature"]
    assert not told["ok"]
    assert "is refused: signature:" in said.err
    assert run(["models", "sign", version, *where]) == 2
    assert "--signing-key" in capsys.readouterr().err
    assert run(["models", "sign", version, "--signing-key", str(file), *where]) == 0
    assert run(["models", "promote", version, *where]) == 0
    assert run(["models", "verify", *where]) == 0
    assert "can be served" in capsys.readouterr().out


def test_no_trusted_signature_gives_way_to_one_that_is_not(
    registry: Registry,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    version = named(registry)
    file = tmp_path / "other.pem"
    file.write_bytes(OTHER.pem())
    file.chmod(0o600)
    command = ["models", "sign", version, "--signing-key", str(file)]
    command += ["--models-dir", str(registry.root)]
    monkeypatch.setenv("KEEPWELL_TRUSTED_KEYS", shown(KEY.public))
    assert run(command) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "is not among the trusted keys" in told.err
    assert reading(registry, KEY).load(version).version == version
    monkeypatch.delenv("KEEPWELL_TRUSTED_KEYS")
    assert run(command) == 0
    assert reading(registry, OTHER).load(version).version == version


@pytest.mark.parametrize(
    ("command", "work"),
    [
        (["train", "--signing-key", "KEY"], "training.pipeline.train"),
        (["score", "--out", "scores.csv"], "training.bulk.score"),
        (["policy", "report", "--retention"], "training.policy.retention.retention"),
    ],
)
def test_every_command_that_loads_or_publishes_has_the_keys(
    command: list[str], work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, config = tmp_path / "key.pem", tmp_path / "keepwell.toml"
    file.write_bytes(KEY.pem())
    file.chmod(0o600)
    config.write_text('[events]\nquery = "SELECT 1"\n')
    monkeypatch.setenv("KEEPWELL_TRUSTED_KEYS", shown(KEY.public))
    monkeypatch.setenv("KEEPWELL_PORT", "many")  # which is no concern of these
    given: list[Keys] = []

    def worked(*_: object, keys: Keys, **__: object) -> None:
        given.append(keys)
        raise KeepwellError("enough")

    monkeypatch.setattr(work, worked)
    words = [str(file) if word == "KEY" else word for word in command]
    assert run([*words, "-c", str(config)]) == 1
    (keys,) = given
    assert keys.trusted == trusting(KEY)
    assert (keys.signing is not None) is (command[0] == "train")
