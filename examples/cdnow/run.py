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
from pathlib import Path
from types import FrameType

from fetch import fetch

from churn import bundle
from churn.errors import ModelError
from churn.registry import Registry

HERE = Path(__file__).resolve().parent
KEEPWELL = str(Path(sys.executable).with_name("keepwell"))
READY_WITHIN_SECONDS = 60

# A customer who bought every four weeks or so, and then no more.
REQUEST = {
    "customer_id": "c-1042",
    "as_of": "1998-06-01T00:00:00Z",
    "events": [
        {"occurred_at": f"{day}T12:00:00Z", "kind": "purchase", "amount": amount}
        for day, amount in (
            ("1997-11-20", 28.5),
            ("1997-12-15", 41.97),
            ("1998-01-14", 23.49),
            ("1998-02-10", 35.96),
            ("1998-03-09", 11.99),
        )
    ],
}


def usable_model(models_dir: Path) -> bool:
    """Tell whether a model that this version can read is current."""
    try:
        version = Registry(models_dir).current()
        if version is None:
            return False
        bundle.load(Registry(models_dir).path(version))
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
    body = json.dumps(REQUEST)
    status, text = ask(host, port, "POST", "/score", body)
    print(
        f"\nKeepwell serves on http://{host}:{port} (Ctrl-C ends it). Ask it about a customer:\n\n"
        f"curl -s http://{host}:{port}/score -H 'Content-Type: application/json' -d '{body}'\n\n"
        f"It answers (HTTP {status}):\n\n"
        f"{json.dumps(json.loads(text), indent=2, ensure_ascii=False)}\n",
        flush=True,
    )


def serve(host: str, port: int) -> int:
    """Serve until told to end; the exit code is 0 after a clean end."""
    command = [KEEPWELL, "serve", "--host", host, "--port", str(port)]
    server = subprocess.Popen(command)
    ending = False

    def end(signum: int, frame: FrameType | None) -> None:
        nonlocal ending
        # A terminal's Ctrl-C reaches the service as well; a repeated SIGINT would hurry it.
        if not ending and signum == signal.SIGTERM:
            server.terminate()
        ending = True

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    if wait_until_ready(server, host, port):
        show_answer(host, port)
    elif not ending:
        server.terminate()
        server.wait()
        print(f"keepwell: the service did not get ready on {host}:{port}", file=sys.stderr)
        return 1
    code = server.wait()
    return 0 if ending else code


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
    if not usable_model(Path(os.environ.get("KEEPWELL_MODELS_DIR", "models"))):
        print("fetching the CDNOW purchase log and training on it", flush=True)
        try:
            fetch()
        except OSError as error:
            print(f"keepwell: {error}", file=sys.stderr)
            return 1
        trained = subprocess.run(
            [KEEPWELL, "train", "-c", str(HERE / "keepwell.toml")], check=False
        )
        if trained.returncode:
            return trained.returncode
    return serve(options.host, options.port)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
