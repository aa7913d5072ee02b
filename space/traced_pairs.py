"""Where a convolution meets its BN: found in any module by tracing its own code, its children taken as they are."""

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import fx, nn


class Pair(NamedTuple):
    """A convolution whose output goes into another child of the same module, and nowhere else.

    Attributes:
        conv: path of the convolution.
        end: path of the other: a BN, nothing, or what an addition or a gate stands round.
    """

    conv: str
    end: str


class _Tracer(fx.Tracer):
    """Runs a module's own code only."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def pairs(network: nn.Module) -> Iterator[Pair]:
    """Those of each module whose code can be traced: it does not look at values, nor at shapes to decide.

    A module that is used twice, or has hooks, is in none.
    """
    references = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    for path, module in list(network.named_modules()):
        if not any(type(child) is nn.Conv2d for child in module.children()):
            continue
        prefix = f"{path}." if path else ""
        for conv, end in _own_pairs(module):
            ends = [module.get_submodule(conv), module.get_submodule(end)]
            if all(references[id(it)] == 1 and not _is_hooked(it) for it in ends):
                yield Pair(prefix + conv, prefix + end)


def _own_pairs(module: nn.Module) -> Iterator[tuple[str, str]]:
    try:
        graph = _Tracer().trace(copy.copy(module))  # a copy: what the code keeps of its pass is not kept
    except Exception:  # whatever the user's code does with what is no tensor
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        user = next(iter(node.users), node)
        both = (node, user)
        if any(it.op != "call_module" or calls[it.target] > 1 or len(it.args) != 1 or it.kwargs for it in both):
            continue
        if len(node.users) == 1 and type(module.get_submodule(str(node.target))) is nn.Conv2d:
            yield str(node.target), str(user.target)


def _is_hooked(module: nn.Module) -> bool:
    hooks: list[dict[int, Any]] = [module._forward_hooks, module._forward_pre_hooks]
    return any(hooks)
