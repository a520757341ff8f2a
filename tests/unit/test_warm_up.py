"""An image is warmed up without a model: what a real one then runs is compiled already."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from churn import compiled
from churn.registry import Registry
from service import models, warm_up

# In a process of its own: what other tests have compiled would hide what is lacking.
ALONE = """
import json
import sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from service import models, warm_up


def compiled():
    return {
        (name, kernel.py_func.__qualname__, str(signature))
        for name, module in sys.modules.items()
        if name.startswith(("churn", "service"))
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher)
        for signature in kernel.signatures
    }


warm_up.warm_up()
before = compiled()

from service.settings import Settings
from tests.contract.client import build, customer

with build(Settings(models_dir=Path(sys.argv[1]))) as client:
    answers = [
        client.post("/score", customer()),
        client.post("/score", customer(feeds=["orders"])),
        client.post("/score", {"customer_id": "c", "features": {"days_since_last_purchase": 9.0}}),
        client.post("/v1/score/batch", {"customers": [customer() for _ in range(200)]}),
    ]
later = compiled() - before
statuses = [answer.status_code for answer in answers]
print(json.dumps({"before": len(before), "later": sorted(later), "statuses": statuses}))
"""


@pytest.mark.skipif(not compiled.HAS_NUMBA, reason="only Numba compiles")
def test_after_the_warm_up_no_request_to_a_real_model_compiles_anything(published: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(published)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["statuses"] == [200] * 4
    assert told["before"] > 20
    assert told["later"] == []


@pytest.mark.parametrize("name", warm_up.SCHEMAS)
def test_a_made_up_model_scores_as_any_other(name: str, tmp_path: Path) -> None:
    schema = warm_up.SCHEMAS[name]
    loaded = models.load(Registry(tmp_path).publish(*warm_up.made_up(name, schema)))
    X = np.ones((3, len(schema)))
    X[:, 0] = (0.0, 1.0, np.nan)
    probability = loaded.scorer.score_matrix(X).probability
    assert loaded.version == name
    assert 0.0 < probability[0] < probability[1] < 1.0


def test_where_nothing_would_be_kept_the_warm_up_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warm_up, "KEPT_IN", None)
    assert warm_up.main() == 1
    assert "NUMBA_CACHE_DIR" in capsys.readouterr().err
