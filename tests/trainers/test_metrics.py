"""The three metrics, against scikit-learn's."""

import pytest
import torch
from sklearn import metrics as reference

from trainers.metrics import METRICS, confusion, scores


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shares", [(1.0, 1.0, 1.0, 1.0), (20.0, 1.0, 5.0, 0.0)], ids=["balanced", "one class absent"])
def test_scores_are_scikit_learns(seed: int, shares: tuple[float, ...]) -> None:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(torch.tensor(shares), 60, replacement=True, generator=generator)
    predicted = torch.where(torch.rand(60, generator=generator) < 0.6, labels, torch.zeros_like(labels))

    found = scores(confusion(labels, predicted, 4))

    assert tuple(found) == METRICS
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))


def test_confusion_counts_add_up_over_batches() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0])

    whole = confusion(labels, predicted, 3)

    assert whole.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    parts = [confusion(labels[part], predicted[part], 3) for part in (slice(0, 2), slice(2, 4))]
    assert torch.equal(parts[0] + parts[1], whole)
