"""From nothing to a scored customer: fetch CDNOW, train, serve, ask, and keep serving.

``make run`` runs this. Ctrl-C, or SIGTERM, ends the service and this with it.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from fetch import fetch

from churn.errors import ModelError
from churn.registry import Registry

HERE = Path(__file__).resolve().parent
KEEPWELL = str(Path(sys.executable).with_name("keepwell"))
READY_WITHIN_SECONDS = 120

# A customer who came back after six weeks, spent less, and then came no more.
REQUEST = """{"customer_id": "c-1042", "as_of": "1998-06-01T00:00:00Z", "events": [
  {"occurred_at": "1997-12-01T12:00:00Z", "kind": "purchase", "amount": 29.95},
  {"occurred_at": "1998-01-09T12:00:00Z", "kind": "purchase", "amount": 13.97}]}"""


# A customer of the log, whose history the store has.
STORED = '{"customer_id": "00004", "as_of": "1998-06-01T00:00:00Z"}'

ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(Exception):
    """Somebody asked this script to end, and its child has been told."""


def usable_model(models_dir: Path) -> bool:
    """Tell whether a model that this version can read is current."""
    try:
        version = Registry(models_dir).current()
        if version is None:
            return False
        Registry(models_dir).load(version)
    except ModelError as error:
        print(f"the current model cannot be used, so a new one is trained: {error}", flush=True)
        return False
    print(f"model {version} is trained already", flush=True)
    return True


def is_free(host: str, port: int) -> bool:
    """Tell whether a server could listen there."""
    with socket.socket() as probe:
        # As the service itself does: a port that just closed counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def ask(host: str, port: int, method: str, path: str, body: str | None = None) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_until_ready(server: subprocess.Popen[bytes], host: str, port: int) -> bool:
    """Wait for the service; False if it ended or stayed unready."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if ask(host, port, "GET", "/health/ready")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def show_answer(host: str, port: int) -> None:
    """Print a command to paste, and what it really answers."""
    status, text = ask(host, port, "POST", "/score", REQUEST)
    known = json.loads(ask(host, port, "POST", "/score", STORED)[1])
    print(
        f"\nKeepwell serves on http://{host}:{port} (Ctrl-C ends it). Ask it about a customer:\n\n"
        f"curl -s http://{host}:{port}/score -H 'Content-Type: application/json' -d '{REQUEST}'\n\n"
        f"It answers (HTTP {status}):\n\n"
        f"{json.dumps(json.loads(text), indent=2, ensure_ascii=False)}\n\n"
        "The log is in the store too, so that a customer's id is enough:\n\n"
        f"curl -s http://{host}:{port}/score -H 'Content-Type: application/json' -d '{STORED}'\n\n"
        f"It answers: {known['status']}, churn probability {known['churn_probability']}\n",
        flush=True,
    )


@contextmanager
def child(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that ends when this script is told to, however it is told."""
    # In a session of its own a terminal's Ctrl-C reaches it once, through this script.
    process = subprocess.Popen(command, env=env, start_new_session=True)

    def end(signum: int, frame: FrameType | None) -> None:
        process.terminate()
        raise Ended

    before = {number: signal.signal(number, end) for number in ENDINGS}
    try:
        yield process
    except Ended:
        process.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def train() -> int:
    """Fetch the log and train on it; the exit code is that of what failed."""
    print("fetching the CDNOW purchase log and training on it", flush=True)
    try:
        fetch()
    except OSError as error:
        print(f"keepwell: {error}", file=sys.stderr)
        return 1
    command = [KEEPWELL, "train", "-c", str(HERE / "keepwell.toml")]
    with child(command, dict(os.environ)) as training:
        return training.wait()


def remember(env: dict[str, str]) -> int:
    """Put the log into the store; the exit code is that of what failed."""
    with child([KEEPWELL, "store", "import", "-c", str(HERE / "keepwell.toml")], env) as storing:
        return storing.wait()


def serve(host: str, port: int, env: dict[str, str]) -> int:
    """Serve until told to end."""
    command = [KEEPWELL, "serve", "--host", host, "--port", str(port)]
    # A log line per probe would bury the answer; KEEPWELL_ACCESS_LOG=1 brings them back. Nobody
    # else sends requests here who would have to hear of the end first.
    ours = {"KEEPWELL_ACCESS_LOG": "0", "KEEPWELL_DRAIN_SECONDS": "0"}
    with child(command, {**ours, **env}) as server:
        if not wait_until_ready(server, host, port):
            server.terminate()
            server.wait()
            print(f"keepwell: the service did not get ready on {host}:{port}", file=sys.stderr)
            return 1
        show_answer(host, port)
        return server.wait()


def main() -> int:
    """Do it all; the exit code is 0 after a clean end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    if not is_free(options.host, options.port):
        print(
            f"keepwell: {options.host}:{options.port} is taken; end what listens there, or choose "
            f"another port: make run PORT={options.port + 1}",
            file=sys.stderr,
        )
        return 1
    models_dir = Path(os.environ.get("KEEPWELL_MODELS_DIR", "models"))
    store = models_dir.resolve().parent / "keepwell.db"
    env = {"KEEPWELL_STORE_URL": f"sqlite:///{store}", **os.environ}
    failed = 0
    trained = usable_model(models_dir)
    if not trained:
        failed = train()
    if not failed and not (trained and store.exists()):
        failed = remember(env)
    return failed or serve(options.host, options.port, env)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Ended:
        sys.exit(0)
