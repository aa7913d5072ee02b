"""What a user types for a backbone, and its parts."""

from pathlib import Path

import pytest

from pipelines.settings.resolve import digests
from space.backbones import Name, backbone, chosen
from space.errors import UserError

NETWORKS = ["resnet20", "resnet20+no_skip", "timm/resnet18.a1_in1k", "package.module:Make", "net.py:make"]
NETWORKS += ["/x/a@b/net.py:make", "/x/a@b.py:c/d@e.py:make", "a@b/net.py:make", "/x/it's +no_attention/net.py:make"]
PATTERNS = ["", "layer.*bn2", r"(a@b)\.c", "a:b", "x+no_attention"]


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_name_is_its_parts(network: str, pattern: str, plain: bool) -> None:
    name = Name(network, pattern, plain)
    assert Name.parse(str(name)) == name


SOURCE = """
from tests.space.test_foreign import Own as make
"""


def test_a_network_is_found_in_a_folder_with_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a@b"
    folder.mkdir()
    (folder / "net.py").write_text(SOURCE)
    name = f"{folder}/net.py:make"
    monkeypatch.chdir(folder)

    it, gated = backbone(name), chosen(name, r"blocks\.(0)\.norm")
    assert len(it.sites) == 2
    assert [site.path for site in gated.sites] == ["blocks.0.norm"]
    assert backbone("net.py:make").name == it.name == name
    assert backbone(gated.name) is gated
    assert list(digests([it.name, gated.name], None, None)) == [f"{folder}/net.py"]


@pytest.mark.parametrize(("name", "pattern"), [("resnet11@x", "y"), ("resnet11", ""), ("resnet11@x", "")])
def test_one_pattern_is_wanted(name: str, pattern: str) -> None:
    with pytest.raises(UserError, match="one pattern is wanted"):
        chosen(name, pattern)
