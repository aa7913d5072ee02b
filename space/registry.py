"""Registries: parts by name, ours and those that plug-ins add, by one mechanism.

What a plug-in registers is there all or nothing: one that registers something and then raises has registered nothing.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from importlib.abc import InspectLoader
from types import ModuleType
from typing import Any, Generic, TypeVar

from space.errors import UserError

Entry = TypeVar("Entry")
Registered = TypeVar("Registered")

REGISTRIES: list["Registry[Any]"] = []
"""All that there are."""


class Registry(dict[str, Entry], Generic[Entry]):
    """Parts of one kind by name.

    Args:
        kind: what a part is called in errors.
        ours: the parts that are there without plug-ins.
        admit: from the name, the part that is registered and what it declares to what the registry holds; it may
            refuse them.
    """

    def __init__(
        self, kind: str, ours: dict[str, Entry], admit: Callable[..., Entry] = lambda name, part: part
    ) -> None:
        super().__init__(ours)
        self.kind = kind
        self.ours = dict(ours)
        self._admit = admit
        self._parts: dict[str, Any] = {}
        REGISTRIES.append(self)

    def are_ours(self) -> None:
        """What is registered by now is there without plug-ins."""
        self.ours = dict(self)

    def register(self, name: str, **declared: Any) -> Callable[[Registered], Registered]:
        """Decorator: the class or function is the part of this name.

        Args:
            name: what people type.
            declared: what the part says of itself, where parts of this kind do.

        Raises:
            UserError: the name is taken, or the part is not as it has to be.
        """

        def add(part: Any) -> Any:
            if name in self:
                if not _is_run_again(part, self._parts.get(name)):
                    raise UserError(taken(self.kind, name))
                return part
            self[name] = self._admit(name, part, **declared)
            self._parts[name] = part
            return part

        return add


def _is_run_again(part: Any, registered: Any) -> bool:
    """Whether two parts are one: of a file that two plug-ins import, which is a module of its own for each."""
    modules = [sys.modules.get(getattr(it, "__module__", "")) for it in (part, registered)]
    one, other = map(_text, modules)
    return modules[0] is not modules[1] and one is not None and one == other


def _text(module: ModuleType | None) -> tuple[str, str | None] | None:
    """File and source of a module; None where there is none."""
    file, loader = (getattr(module, name, None) for name in ("__file__", "__loader__"))
    if module is None or file is None or not isinstance(loader, InspectLoader):
        return None
    return file, loader.get_source(module.__name__)


def taken(kind: str, name: str) -> str:
    """What a user is told who registers a name that is there."""
    return f"there is {'an' if kind[0] in 'aeiou' else 'a'} {kind} {name!r} already; give this one another name"


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """If anything is raised inside, every registry holds again what it held before."""
    before = [dict(registry) for registry in REGISTRIES]
    try:
        yield
    except BaseException:
        for place, registry in enumerate(REGISTRIES):  # some may have been imported inside
            registry.clear()
            registry.update(before[place] if place < len(before) else registry.ours)
        raise
