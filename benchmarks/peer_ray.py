"""Stock Ray Tune: OptunaSearch, ASHA and MLflow's callback, as its documentation shows them; for benchmarks/launch.py.

python -m benchmarks.peer_ray TRIALS [asha]
"""

import sys
import tempfile
from typing import Any

import torch
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.peer_optuna import EPOCHS, network_of, trained


def trainable(config: dict[str, Any]) -> None:
    """A training that tells Ray of each epoch."""
    torch.set_num_threads(1)
    network = network_of(config["attention"], config["reduction"])
    for accuracy in trained(network):
        tune.report({"val_accuracy": accuracy})


if __name__ == "__main__":
    trials, early = int(sys.argv[1]), "asha" in sys.argv[2:]
    scheduler = ASHAScheduler(max_t=EPOCHS, grace_period=1) if early else None
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1}),
            param_space={
                "attention": tune.choice(["none", "se", "ras", "dia"]),
                "reduction": tune.choice([4, 8, 16]),
            },
            tune_config=tune.TuneConfig(
                metric="val_accuracy", mode="max", num_samples=trials, search_alg=OptunaSearch(), scheduler=scheduler
            ),
            run_config=tune.RunConfig(
                storage_path=folder,
                verbose=0,
                callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder}/mlflow.db", experiment_name="it")],
            ),
        )
        tuner.fit()
