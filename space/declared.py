"""Which attentions there are, and what each declares: known without torch.

Ours are declared where plug-ins declare theirs, in the arguments of `ATTENTION.register` over the class. These are read
here from the files of `space/attention` without running them, so that designs can be parsed and printed at once.
"""

import ast
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from space import declarations
from space.declarations import AttentionKind, Declaration, declare
from space.registry import Registry

NONE = "none"
"""The attention of a network without any."""

FOLDER = Path(__file__).with_name("attention")
REGISTER = "ATTENTION.register"


def registrations(source: str) -> Iterator[tuple[str, Declaration]]:
    """The name and the declaration of each attention that a file of ours registers."""

    def register(name: str, **declared: Any) -> tuple[str, Declaration]:
        return name, declare(kind, **declared)

    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            kind: AttentionKind = "stage"
        elif isinstance(node, ast.ClassDef):
            kind = "excitation" if "Excitation" in map(ast.unparse, node.bases) else "gate"
        else:
            continue
        for decorator in map(ast.unparse, node.decorator_list):
            if decorator.startswith(f"{REGISTER}("):
                known = {**vars(declarations), "register": register}
                yield eval(decorator.removeprefix("ATTENTION."), known)


_BY_MODULE = {path.stem: dict(registrations(path.read_text())) for path in sorted(FOLDER.glob("*.py"))}

MODULES = tuple(module for module, registered in _BY_MODULE.items() if registered)
"""Those of `space.attention` that register an attention."""

DECLARED: Registry[Declaration] = Registry(
    "attention", dict([(NONE, Declaration()), *chain.from_iterable(found.items() for found in _BY_MODULE.values())])
)
"""What each attention declares; plug-ins add theirs when they register."""


def no_attention(attention: object) -> str:
    """What a user is told who typed an attention that there is not."""
    return f"no attention {attention!r}; there are {', '.join(DECLARED)}; a plug-in's needs --plugin FILE.py"


def no_field(attention: str, name: str) -> str:
    """What a user is told who typed a field that an attention does not have."""
    return f"no field {name!r}; {attention} has {', '.join(DECLARED[attention].choices) or 'no fields'}"
