"""The same as `minimal_app` in BentoML; runs in a virtual environment of its own."""

import os

import bentoml
import lightgbm
import numpy as np


@bentoml.service(workers=1)
class Churn:
    def __init__(self) -> None:
        self.booster = lightgbm.Booster(model_file=os.environ["BENCHMARK_MODEL"])
        self.names = [f"feature_{at}" for at in range(self.booster.num_feature())]

    @bentoml.api
    def score(self, customer_id: str, features: dict[str, float]) -> dict:  # type: ignore[type-arg]
        row = np.array([[features[name] for name in self.names]])
        contributions = self.booster.predict(row, pred_contrib=True, num_threads=1)[0]
        main = np.argsort(-contributions[:-1])[:3]
        return {
            "customer_id": customer_id,
            "churn_probability": float(1.0 / (1.0 + np.exp(-contributions.sum()))),
            "reasons": [
                {"feature": self.names[at], "contribution": float(contributions[at])} for at in main
            ],
        }
