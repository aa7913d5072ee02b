"""A dataclass of options seen as one flat table: its own fields, then those of the groups inside it."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Field:
    """An option or an argument.

    Attributes:
        name: of the field; with dashes it is the flag.
        kind: type, such as int, Path | None or tuple[str, ...].
        says: how typer shows it, its help above all.
        default: MISSING where it has to be given.
        group: what the options of its group are about; None for the command's own.
    """

    name: str
    kind: Any
    says: OptionInfo | ArgumentInfo
    default: Any
    group: str | None

    @property
    def one(self) -> tuple[type, bool]:
        """The type of one value, and whether several may be given."""
        if get_origin(self.kind) is tuple:
            return get_args(self.kind)[0], True
        return next((kind for kind in get_args(self.kind) if kind is not type(None)), self.kind), False

    @property
    def names(self) -> tuple[str, ...]:
        """Its name, and those that it also goes by."""
        also = (declared.partition("/")[0].removeprefix("--").replace("-", "_") for declared in self.declared)
        return tuple(dict.fromkeys([self.name.rstrip("_"), *also]))

    @property
    def declared(self) -> tuple[str, ...]:
        """The flags that typer is given: in `Annotated` the first one stands in the place of the default."""
        return tuple(it for it in (self.says.default, *(self.says.param_decls or ())) if isinstance(it, str))


def flag(name: str) -> str:
    """What is typed for the field of this name, if it is no argument; `from_` is --from, since from is Python's."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def opposite(name: str) -> str:
    """The flag that says no to the one of this name."""
    return flag(name.removeprefix("no_") if name.startswith("no_") else f"no_{name}")


def fields_of(options: type, group: str | None = None) -> dict[str, Field]:
    """The fields of a class of options by name: its own, those of the classes it extends, and those of its groups."""
    hints = get_type_hints(options, include_extras=True)
    found: dict[str, Field] = {}
    for field in _in_order(options):
        hint = hints[field.name]
        if is_dataclass(hint):
            assert isinstance(hint, type)
            about = (hint.__doc__ or "").partition("\n")[0].removesuffix(".")
            found |= fields_of(hint, about)
        elif get_origin(hint) is Annotated:
            kind, says = get_args(hint)
            found[field.name] = Field(name=field.name, kind=kind, says=says, default=field.default, group=group)
    return found


def built(options: type[T], values: Mapping[str, Any]) -> T:
    """The options that have these values, by the names of the fields; those of groups go into their groups.

    Raises:
        UserError: as the options do.
    """
    hints = get_type_hints(options)
    given = {}
    for field in _in_order(options):
        if is_dataclass(hints[field.name]):
            given[field.name] = built(hints[field.name], values)
        elif field.name in values:
            given[field.name] = values[field.name]
    return options(**given)


def values_of(options: Any) -> dict[str, Any]:
    """The value of every field, those of groups included: `built` is the way back."""
    found: dict[str, Any] = {}
    for field in _in_order(type(options)):
        value = getattr(options, field.name)
        found |= values_of(value) if is_dataclass(value) else {field.name: value}
    return found


def _in_order(options: type) -> Iterator[dataclasses.Field[Any]]:
    """What is given to make one: fields, those of base classes behind its own, and then its groups."""
    fields = {field.name: field for field in dataclasses.fields(options) if field.init}
    classes = [vars(kind).get("__annotations__", {}) for kind in options.__mro__]
    ordered = [fields[name] for own in classes for name in own if name in fields]
    yield from sorted(ordered, key=lambda field: field.default is MISSING and field.default_factory is not MISSING)
