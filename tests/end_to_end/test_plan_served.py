"""A plan from the server as it is started, which keeps SciPy out until one is asked for."""

import subprocess
import sys

ALONE = """
import sys
import uvicorn
from importlib.util import find_spec
import cli.serve

uvicorn.Server.run = lambda self, sockets: None
cli.serve.serve(None, 0, None)
print(any(name.startswith("scipy.") for name in sys.modules), find_spec("scipy") is not None)
"""


def test_scipy_is_kept_out_and_can_be_found_when_a_plan_needs_it() -> None:
    told = subprocess.check_output([sys.executable, "-c", ALONE], text=True)
    assert told.split()[-2:] == ["False", "True"]
