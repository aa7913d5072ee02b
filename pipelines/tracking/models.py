"""Trained networks and folders of files in MLflow, with runs that are there already."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.terminal.console import warn
from space.errors import first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn


def log_model(
    network: "nn.Module", example: "NDArray[np.float32]", run_id: str, uri: str | None, name: str | None
) -> bool:
    """Log a trained network with a run, and register it under `name`; trouble is a warning. Returns whether it worked.

    Args:
        network: on the CPU, in eval mode.
        example: images (B, C, H, W), normalised, B at least 2.
        run_id: of the run.
        uri: of the tracking server; None for MLflow's own default.
        name: to register it under; None for not.
    """
    import mlflow
    import torch
    from mlflow.exceptions import MlflowException

    try:
        if uri is not None:
            mlflow.set_tracking_uri(uri)
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pytorch.log_model(
                network,
                name="model",
                serialization_format="pt2",
                input_example=example,
                pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],  # inferring them takes long
            )
        if name is not None:
            client = mlflow.MlflowClient()
            with contextlib.suppress(MlflowException):  # the name is there already
                client.create_registered_model(name)
            client.create_model_version(name, logged.model_uri, run_id)
        return True
    except Exception as error:  # whatever the tracking server does, the weights are on disk
        warn(f"MLflow did not take the model: {type(error).__name__}: {first_line(error)}")
        return False


def log_files(folder: Path, run_id: str, uri: str | None) -> None:
    """Log a folder's files with a run; trouble is a warning."""
    from mlflow import MlflowClient

    try:
        MlflowClient(tracking_uri=uri).log_artifacts(run_id, str(folder), folder.name)
    except Exception as error:  # whatever the tracking server does, the files are on disk
        warn(f"MLflow did not take {folder}: {type(error).__name__}: {first_line(error)}")
