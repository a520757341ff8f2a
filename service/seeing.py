"""What the metrics tell of the model that serves: drift, and the quality to be expected."""

from service.metrics import Told
from service.models import ModelHolder


def of_window(models: ModelHolder) -> Told:
    """Tell of the customers whom the model that serves scored of late."""
    serving = models.current
    if serving is None or serving.window is None:
        return {}
    told = serving.window.told()
    return {
        "drift_window_rows": told.rows,
        "drift_psi_ratio": told.drift,
        "probability_psi_ratio": told.probability_drift,
        "expected_churn_rate": told.expected_churn_rate,
        "estimated_roc_auc": None if told.roc_auc is None else told.roc_auc._asdict(),
        "estimated_log_loss": None if told.log_loss is None else told.log_loss._asdict(),
        "model_judged_roc_auc": serving.manifest.metrics.get("roc_auc"),
    }
