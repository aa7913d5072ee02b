"""Places for gates, named by a pattern."""

import re

import pytest
from torch import Tensor, nn

from space.backbones.sites import find_sites, layout_of
from space.errors import UserError
from space.gating import Site
from tests.space.finding import found, watched
from tests.space.own_blocks import WAYS, Block, Down, Own, plain_block


class Mixed(nn.Module):
    """Returns what is no feature map, too."""

    def __init__(self) -> None:
        super().__init__()
        self.a = Down(3, 4)
        self.twice = nn.ReLU()
        self.b = Down(4, 4)
        self.last = nn.BatchNorm2d(4)
        self.flat = nn.Flatten()
        self.unused = nn.ReLU()
        self.pair = Pair()
        self.turned = Turned()
        self.attend = Attend()
        self.square = nn.Linear(4, 8)
        self.fc = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = self.twice(self.a(images))
        x, _ = self.pair(self.twice(self.b(x)))
        x = x + self.last(x)
        x = x + self.attend(x).mean()
        nhwc = self.fc(self.square(self.turned(x)))
        out: Tensor = nhwc.mean((1, 2)) + self.flat(x)[:, :1]
        return out


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class Attend(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x @ x.mT


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


def test_the_groups_of_a_pattern_tell_the_stages_and_without_groups_their_shapes_do() -> None:
    network = Own(plain_block(), plain_block(), plain_block())
    of = watched(network)
    by_shape, by_group, in_pairs = (
        find_sites(of, pattern)
        for pattern in (r"blocks\.\d\.one\.1", r"blocks\.(\d)\.one\.1", r"blocks\.(?:([01])|2)\.one\.1")
    )

    assert [site.stage for site in by_shape] == [0, 0, 0]
    assert [site.stage for site in by_group] == [0, 1, 2]
    assert [site.stage for site in in_pairs] == [0, 1, 2]
    assert {(site.path, site.channels) for sites in (by_shape, by_group) for site in sites} == {
        (f"blocks.{number}.one.1", 4) for number in range(3)
    }


def test_stages_come_in_the_order_of_the_forward_pass_whatever_their_groups_say() -> None:
    network = nn.Sequential(Down(3, 8), Down(8, 4), nn.Flatten(), nn.Linear(256, 10))
    assert find_sites(watched(network), r"(\d)\.1") == (Site("0.1", 0, 8), Site("1.1", 1, 4))
    assert [site.stage for site in find_sites(watched(network), r"(?:1\.1|0\.(1))")] == [0, 1]


def test_a_stage_counts_as_normalised_where_all_its_places_are() -> None:
    network = Own(plain_block(), Block(WAYS["no norm"][0]))
    sites = find_sites(watched(network), r"blocks\.0\.one\.1|blocks\.1\.conv")
    assert [site.normalised for site in sites] == [False, False]
    assert [site.normalised for site in find_sites(watched(network), r"blocks\.(0)\.one\.1|blocks\.1\.conv")] == [
        True,
        False,
    ]


@pytest.mark.parametrize("path", ["square", "turned"])
def test_a_pattern_may_name_maps_with_their_channels_last(path: str) -> None:
    channels = {"square": 8, "turned": 4}[path]
    assert find_sites(watched(Mixed()), path) == (Site(path, 0, channels, False, True),)


def test_a_pattern_is_for_the_whole_name() -> None:
    assert found(Mixed(), "b.1") == ["b.1"]
    for part in ("1", "b.", r"\.1"):
        with pytest.raises(UserError, match="no module has such a name"):
            found(Mixed(), part)


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("nothing", ["no module has such a name", "some of a.0, a.1, a, b.0"]),
        ("a.(1", ["no regular expression", "unterminated"]),
        ("flat", ["flat returns 2 x 256", "(B, C, H, W)"]),
        ("attend", ["attend returns 2 x 4 x 8 x 8", "(B, C, H, W)"]),
        ("twice", ["twice runs several times"]),
        ("unused", ["unused returns no tensor"]),
        ("pair", ["pair returns no tensor"]),
        ("a|a.1", ["a and a.1 are in one branch", "one gate"]),
    ],
)
def test_a_wrong_pattern_gets_one_line(pattern: str, named: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        found(Mixed(), pattern)
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert [part for part in (f"--gate-at {pattern}", *named) if part not in message] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_pattern_may_name_what_is_found(way: str) -> None:
    network = Own(Block(WAYS[way][0]), Block(WAYS[way][0]))
    places = found(network)
    assert found(network, "|".join(map(re.escape, places))) == places


def test_a_line_break_in_a_pattern_does_not_break_the_message() -> None:
    for pattern in ("a.1\n", "\r", "(\n"):
        with pytest.raises(UserError, match=re.escape(repr(pattern))) as raised:
            found(Mixed(), pattern)
        assert len(str(raised.value).splitlines()) == 1


def test_a_branch_takes_one_gate() -> None:
    with pytest.raises(UserError, match=r"blocks\.0\.two\.1 and blocks\.0\.two\.3 are in one branch"):
        found(Own(Block(lambda block, x: x + block.two(x))), r".*two\.[13]")


def test_places_of_one_stage_have_one_shape() -> None:
    network = nn.Sequential(Down(3, 8), Down(8, 8), nn.Flatten(), nn.Linear(512, 10))
    with pytest.raises(UserError, match=r"--gate-at .*: 1\.1 returns 8 x 8 x 8 and others of its stage 8 x 16 x 16"):
        found(network, r"\d\.(1)")


@pytest.mark.parametrize("stages", [9, 10])
def test_a_design_names_at_most_nine_stages(stages: int) -> None:
    network = Own(*(plain_block() for _ in range(stages)))
    pattern = r"blocks\.(\d)\.one\.1"
    if stages == 9:
        assert len(layout_of(find_sites(watched(network), pattern))) == 9
        return
    with pytest.raises(UserError, match=r"10 stages, and a design names at most 9; .*--gate-at"):
        found(network, pattern)
