"""Install the locked dependencies and the project into the interpreter that runs this file.

`uv` does it where it can be had, with the indexes and certificates that this machine's pip is
configured for; pip itself does it otherwise. Every file is checked against the hashes of the lock.

Run as ``python requirements/install.py dev`` (or ``service``, ``train``; ``rivals`` is ``dev`` and
what benchmarks/rivals.py needs besides).
"""

import ast
import compileall
import ctypes
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCKS = ("service", "train", "dev", "rivals")

# pip's setting, uv's variable, and what joins several values there.
TRANSLATED = (
    ("index-url", "UV_DEFAULT_INDEX", ""),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", ""),
    ("default-timeout", "UV_HTTP_TIMEOUT", ""),
    ("timeout", "UV_HTTP_TIMEOUT", ""),
)


def uv_environment(pip_settings: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that make uv look where pip looks.

    Parameters
    ----------
    pip_settings : str
        What ``pip config list`` prints.
    environ : mapping
        The environment; a variable that uv already reads there is left alone.

    Returns
    -------
    dict of str to str
        Only what has to be added to the environment.
    """
    settings: dict[str, str] = {}
    for line in pip_settings.splitlines():
        key, _, quoted = line.partition("=")
        name = key.rpartition(".")[2]
        # The environment wins over files, wherever `pip config list` sorts it.
        if quoted and (key.startswith(":env:") or name not in settings):
            settings[name] = str(ast.literal_eval(quoted))
    added: dict[str, str] = {}
    for name, variable, separator in TRANSLATED:
        if name in settings and variable not in environ:
            values = settings[name].split()
            added[variable] = separator.join(values) if separator else values[0]
    # pip takes the best version of all indexes; with every hash pinned uv may safely do so too.
    added.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return {name: value for name, value in added.items() if name not in environ}


def run(*command: str, env: Mapping[str, str] | None = None) -> bool:
    """Run a command, its output visible, and tell whether it succeeded."""
    return subprocess.run(command, env=env, check=False).returncode == 0


def quiet(*command: str) -> str | None:
    """Return what a command prints, or None if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None


def install(lock: str) -> None:
    """Install one lock file and the project itself, editable, without its dependencies."""
    python = sys.executable
    pip = (python, "-m", "pip")
    uv = (python, "-m", "uv")
    hashed = ("--require-hashes", "-r")
    locked = (*hashed, str(HERE / "build.txt"), "-r", str(HERE / f"{lock}.txt"))
    project = ("--no-deps", "--no-build-isolation", "-e", str(HERE.parent))
    print(f"installing the locked packages of requirements/{lock}.txt", flush=True)
    if quiet(*uv, "--version") is None:
        quiet(*pip, "install", *hashed, str(HERE / "uv.txt"))
    if quiet(*uv, "--version") is not None:
        env = {**os.environ, **uv_environment(quiet(*pip, "config", "list") or "", os.environ)}
        # As pip does; or each start would compile a thousand sources where bytecode is not written.
        command = (*uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python)
        if run(*command, *locked, env=env) and run(*command, *project, env=env):
            return
        print("uv could not install everything; trying pip", file=sys.stderr)
    if not (run(*pip, "install", "--quiet", *locked) and run(*pip, "install", "-q", *project)):
        sys.exit("setup failed: the package index could not give the locked files (see above)")


def provide_openmp() -> None:
    """Let LightGBM find OpenMP where the system has none.

    LightGBM's wheel needs the system's ``libgomp.so.1``, which slim images lack; scikit-learn's
    wheel carries the same library under a private name. A copy under the public name, loaded when
    Python starts, serves LightGBM too.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        ctypes.CDLL("libgomp.so.1")
        return
    except OSError:
        pass
    site = Path(sysconfig.get_paths()["purelib"])
    for private in sorted(site.glob("scikit_learn.libs/libgomp-*.so*")):
        public = site / "keepwell_openmp" / "libgomp.so.1"
        public.parent.mkdir(exist_ok=True)
        # The loader matches libraries by the name inside the file, so that changes as well.
        name = private.name.encode() + b"\0"
        renamed = b"libgomp.so.1".ljust(len(name), b"\0")
        public.write_bytes(private.read_bytes().replace(name, renamed))
        line = f"import ctypes; ctypes.CDLL({str(public)!r}, ctypes.RTLD_GLOBAL)\n"
        (site / "keepwell_openmp.pth").write_text(line)


def main() -> None:
    """Install the lock that the command line names."""
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit(f"usage: python requirements/install.py {'|'.join(LOCKS)}")
    install(sys.argv[1])
    if sys.argv[1] != "service":
        provide_openmp()
    for package in ("churn", "service", "cli", "training"):
        compileall.compile_dir(HERE.parent / package, quiet=1)
    # A console script left by an older installation would hide a failed one.
    if shutil.which("keepwell", path=str(Path(sys.executable).parent)) is None:
        sys.exit("setup failed: the command `keepwell` was not installed")
    print(f"keepwell {importlib.metadata.version('keepwell')} is ready in {sys.prefix}")


if __name__ == "__main__":
    main()
