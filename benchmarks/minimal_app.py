"""What one writes in an hour: FastAPI, pydantic, LightGBM's `pred_contrib`, the three largest.

The customer's features come ready; there is no calibration, no words, no metrics, no log.
"""

import os
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel

booster = lightgbm.Booster(model_file=Path(os.environ["BENCHMARK_MODEL"]))
NAMES = [f"feature_{at}" for at in range(booster.num_feature())]
app = FastAPI()


class Customer(BaseModel):
    customer_id: str
    features: dict[str, float]


class Batch(BaseModel):
    customers: list[Customer]


def answers(customers: list[Customer]) -> list[dict[str, Any]]:
    rows = np.array([[customer.features[name] for name in NAMES] for customer in customers])
    contributions = booster.predict(rows, pred_contrib=True, num_threads=1)
    probability = 1.0 / (1.0 + np.exp(-contributions.sum(axis=1)))
    main = np.argsort(-contributions[:, :-1], axis=1)[:, :3]
    return [
        {
            "customer_id": customer.customer_id,
            "churn_probability": float(probability[at]),
            "reasons": [
                {"feature": NAMES[feature], "contribution": float(contributions[at, feature])}
                for feature in main[at]
            ],
        }
        for at, customer in enumerate(customers)
    ]


@app.get("/health/live")
async def live() -> dict[str, str]:
    return {"status": "live"}


@app.post("/score")
async def score(customer: Customer) -> dict[str, Any]:
    return answers([customer])[0]


@app.post("/v1/score/batch")
async def batch(batch: Batch) -> dict[str, Any]:
    return {"results": answers(batch.customers)}
