import os
import re
import shutil
import subprocess

import pytest

from tests.report_example import example
from training import report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")


def browse(page, profile, *arguments):
    """Open a page in a headless browser that has no home of its own."""
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments, page.as_uri()],
        capture_output=True,
        check=True,
        timeout=120,
        env={**os.environ, "HOME": str(profile)},
    ).stdout.decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    report.write(path, example())
    return path


def test_a_browser_shows_every_heading_and_every_plot(page, tmp_path):
    dom = browse(page, tmp_path, "--dump-dom")
    for heading in re.findall(r"<h[123]>(.*?)</h[123]>", page.read_text(encoding="utf-8")):
        assert re.sub(r"&#x27;", "'", heading) in dom
    assert dom.count("<svg") == page.read_text(encoding="utf-8").count("<svg")


def test_a_browser_paints_it(page, tmp_path):
    picture = tmp_path / "report.png"
    browse(page, tmp_path / "profile", f"--screenshot={picture}", "--window-size=1200,900")
    assert picture.read_bytes().startswith(b"\x89PNG")
    # A blank page of this size compresses to a few kilobytes.
    assert picture.stat().st_size > 40_000
