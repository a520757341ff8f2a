"""A few of the swaps under load that `python -m benchmarks swaps` makes."""

from pathlib import Path

from benchmarks import swaps


def test_swaps_under_load_half_of_them_bad_are_seen_by_no_client(
    published: Path, tmp_path: Path
) -> None:
    seen = swaps.swapped(published, tmp_path, swaps=12)
    assert (seen.swaps, seen.refused, seen.is_clean) == (12, 6, True), seen
    assert seen.requests > 100
    assert sum(seen.by_version.values()) == seen.requests
    assert all(seen.by_version[version] > 0 for version in swaps.SHIFTS)
    log = (tmp_path / "log").read_text()
    assert log.count("the promoted model could not be loaded") == 6
