"""Feature integration in DIA: the states of the gates, and what a forest says about them."""

import pytest
import torch
from sklearn.ensemble import RandomForestRegressor

from space.backbones import backbone
from space.build import build
from space.design import Design
from trainers.integration import dia_states, feature_integration


@pytest.mark.parametrize("design", ["dia", "dia:cells=2,output=tanh", "dia:stages=23,start=unit"])
def test_the_states_are_h_of_each_block_by_stage(design: str) -> None:
    torch.manual_seed(0)
    it = backbone("resnet29")
    network = build(Design.parse(design), it).eval()
    images = torch.randn(5, 3, 8, 8)
    states = dia_states(network, it, images)

    attended = [stage for stage in range(3) if Design.parse(design).attends(stage)]
    assert sorted(states) == attended
    for stage in attended:
        assert states[stage].shape == (3, 5, it.layout[stage].channels)
    first = network.get_submodule(it.sites[3 * attended[0]].path)
    features: list[torch.Tensor] = []
    first.get_submodule("end").register_forward_hook(lambda module, inputs, output: features.append(output))
    lstm = first.get_submodule("gate.unit.lstm")
    with torch.inference_mode():
        network(images)
        pooled = features[0].mean((2, 3))
        zeros = torch.zeros_like(pooled)
        cells = len(lstm.get_submodule("cells")._modules)
        h = lstm(pooled, [(zeros, zeros)] * cells)[-1][0]
    torch.testing.assert_close(states[attended[0]][0], h)


def chain(batch: int = 200) -> torch.Tensor:
    """Four layers of three channels: the third copies the first, the fourth the second."""
    torch.manual_seed(0)
    first, second = torch.randn(2, batch, 3)
    return torch.stack([first, second, first, second])


def test_the_most_important_layer_is_the_one_that_is_copied() -> None:
    heat = feature_integration(chain(), trees=20)

    assert heat.shape == (3, 3)
    assert heat[1].nan_to_num().argmax() == 0  # h3 from h1
    assert heat[2].nan_to_num().argmax() == 1  # h4 from h2
    assert float(heat[1, 1]) < 0.1 > float(heat[2, 0])


def test_each_row_is_scaled_to_its_largest_and_has_no_later_sources() -> None:
    heat = feature_integration(chain(), trees=5)
    for target in range(3):
        row = heat[target]
        assert bool(row[: target + 1].isfinite().all())
        assert bool(row[target + 1 :].isnan().all())
        assert float(row[: target + 1].max()) == 1
        assert float(row[: target + 1].min()) >= 0


def test_a_layers_importance_is_the_sum_over_its_channels() -> None:
    states = chain()
    forest = RandomForestRegressor(5, random_state=3)
    forest.fit(torch.cat(list(states[:3]), dim=1).double().numpy(), states[3].double().numpy())
    sums = torch.tensor([forest.feature_importances_[3 * n : 3 * n + 3].sum() for n in range(3)])

    heat = feature_integration(states, seed=3, trees=5)
    torch.testing.assert_close(heat[2].double(), sums / sums.max())


def test_constant_gates_have_no_importance() -> None:
    heat = feature_integration(torch.ones(3, 20, 2), trees=3)
    assert heat.nan_to_num().eq(0).all()
