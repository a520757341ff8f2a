import json
import os
import re
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

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

WIDTHS = (360, 1280)

# What a reader would see: how wide the page is, and words that stick out of their plot.
PROBE = """
<body><iframe src="/report.html" width="{width}" height="900"></iframe><script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument;
  const out = [];
  for (const svg of page.querySelectorAll("svg")) {
    const frame = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (!box.width) continue;
      if (box.left < frame.left - 3 || box.right > frame.right + 3 ||
          box.top < frame.top - 3 || box.bottom > frame.bottom + 3)
        out.push(svg.querySelector("title").textContent + ": " + text.textContent);
    }
  }
  const found = {width: page.documentElement.scrollWidth, out};
  document.body.textContent = "FOUND" + JSON.stringify(found) + "END";
};
</script></body>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium on the PATH")


def browse(address, profile, *arguments):
    """Open a page in a headless browser that has no home of its own."""
    return subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *arguments, address],
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


@pytest.fixture
def served(page, tmp_path):
    """A folder that is served, with the report and probes around it, and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(page, folder / "report.html")
    for width in WIDTHS:
        (folder / f"probe-{width}.html").write_text(PROBE.replace("{width}", str(width)))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def requests_of(address, tmp_path):
    """What a page asked for, by the browser's own log; the browser's errands are no page's."""
    log = tmp_path / f"{address.rpartition('/')[2]}.json"
    browse(address, tmp_path, f"--log-net-log={log}", "--dump-dom")
    net = json.loads(log.read_text(encoding="utf-8"))
    started = net["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    origin = address.rpartition("/")[0]
    asked = [event.get("params", {}) for event in net["events"] if event["type"] == started]
    assert any(params.get("url") == address for params in asked)
    return {params["url"] for params in asked if params.get("initiator") == origin}


def test_a_browser_shows_every_heading_and_every_plot(page, tmp_path):
    dom = browse(page.as_uri(), tmp_path, "--dump-dom")
    for heading in re.findall(r"<h[123]>(.*?)</h[123]>", page.read_text(encoding="utf-8")):
        assert re.sub(r"&#x27;", "'", heading).replace("&quot;", '"') in dom
    assert dom.count("<svg") == page.read_text(encoding="utf-8").count("<svg")


def test_a_browser_paints_it(page, tmp_path):
    picture = tmp_path / "report.png"
    profile = tmp_path / "profile"
    browse(page.as_uri(), profile, f"--screenshot={picture}", "--window-size=1200,900")
    assert picture.read_bytes().startswith(b"\x89PNG")
    # A blank page of this size compresses to a few kilobytes.
    assert picture.stat().st_size > 40_000


def test_reading_it_asks_nobody_for_anything(served, tmp_path):
    folder, address = served
    assert requests_of(f"{address}/report.html", tmp_path) == set()
    # Not for its policy's sake: without that a browser asks for the site's own icon at most.
    text = re.sub(r"<meta http-equiv[^>]*>", "", (folder / "report.html").read_text("utf-8"))
    (folder / "free.html").write_text(text, "utf-8")
    icon = f"{address}/favicon.ico"
    assert requests_of(f"{address}/free.html", tmp_path) <= {icon}
    picture = "http://127.0.0.1:9/seen.png"
    (folder / "asks.html").write_text(text.replace("<main>", f"<img src={picture}><main>"), "utf-8")
    assert requests_of(f"{address}/asks.html", tmp_path) - {icon} == {picture}


@pytest.mark.parametrize("width", WIDTHS)
def test_no_word_sticks_out_of_its_plot_and_no_plot_out_of_the_page(served, tmp_path, width):
    _, address = served
    window = "--window-size=1400,1000"
    dom = browse(f"{address}/probe-{width}.html", tmp_path, window, "--dump-dom")
    found = json.loads(re.search(r"FOUND(.*)END", dom)[1])
    assert found["out"] == []
    assert found["width"] <= width
