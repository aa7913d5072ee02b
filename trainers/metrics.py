"""How well a network classifies: three ways to count, from one confusion matrix."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
"""What a search may be for."""


def confusion(labels: "Tensor", predicted: "Tensor", num_classes: int) -> "Tensor":
    """Images by class and by what they were taken for: (B,) and (B,) -> (K, K)."""
    pairs = labels * num_classes + predicted
    return pairs.bincount(minlength=num_classes**2).view(num_classes, num_classes)


def scores(counts: "Tensor") -> dict[str, float]:
    """The metrics of a confusion matrix (K, K), each from 0 to 1.

    accuracy: share of the images; balanced_accuracy: mean recall of the classes that have images; macro_f1: mean F1 of
    the classes that have images or were predicted, where a class that was never hit has 0.
    """
    hits, actual, predicted = (part.double() for part in (counts.diagonal(), counts.sum(1), counts.sum(0)))
    there, seen = actual > 0, actual + predicted > 0
    return {
        "accuracy": float(hits.sum() / actual.sum()),
        "balanced_accuracy": float((hits[there] / actual[there]).mean()),
        "macro_f1": float((2 * hits[seen] / (actual + predicted)[seen]).mean()),
    }
