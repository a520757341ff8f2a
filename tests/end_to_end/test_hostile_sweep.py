"""A few of the bundles that `python -m benchmarks bundles` loads by the thousand."""

from pathlib import Path

from benchmarks import bundles


def test_no_bundle_of_the_sweep_is_served_that_should_not_be(
    published: Path, tmp_path: Path
) -> None:
    found = bundles.swept(published, tmp_path, scale=0.004)
    assert {kind: count.wrong for kind, count in found.items()} == dict.fromkeys(found, 0)
    assert not (tmp_path / "it-ran").exists()
    for kind, count in found.items():
        assert count.tried == count.refused + count.sound, kind
        assert count.refused > 0, kind
        if "digests right" not in kind:
            assert count.sound == 0, kind
