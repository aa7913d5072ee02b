"""Search spaces in files: presets, and TOML files of one's own."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from space.choices import SearchSpace
from space.declarations import Value
from space.declared import DECLARED, no_attention
from space.design import Design, Layout
from space.errors import UserError
from space.stage_sets import ALL_STAGES, ANY_STAGES, STAGE_WORDS, fitting_sets, stage_digits, stage_sets

Values: TypeAlias = dict[str, dict[str, tuple[Value, ...]]]

PRESETS = ("small", "papers", "full")


def load_space(source: str | Path, backbones: Mapping[str, Layout]) -> SearchSpace:
    """Read a TOML file, or a preset (`PRESETS`): that has the attentions of plug-ins, too, and fits the backbones.

    Raises:
        UserError: naming the file, the key and what is allowed.
    """
    is_preset = str(source) in PRESETS
    if is_preset:
        text = resources.files("space.presets").joinpath(f"{source}.toml").read_text()
    else:
        try:
            text = Path(source).read_text()
        except (OSError, UnicodeDecodeError):
            raise UserError(f"no space {str(source)!r}; use {', '.join(PRESETS)} or a TOML file") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{source}: not TOML: {error}") from None
    if is_preset:
        table |= _of_plugins(table)
    try:
        values = _values(table, stage_sets(backbones.values()))
        if is_preset:
            _fit(values, backbones)
        _check_stages(values, backbones)
        _check_start(values)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None
    return SearchSpace(backbones, values)


def _of_plugins(table: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's table of attentions with those of plug-ins; choices that none of ours has are of all their values."""
    ours = {(it.name, it.values) for declaration in DECLARED.ours.values() for it in declaration.choices.values()}
    added = {name: declaration.choices for name, declaration in DECLARED.items() if name not in DECLARED.ours}
    own = {
        name: {it.name: [*it.values] for it in choices.values() if (it.name, it.values) not in ours}
        for name, choices in added.items()
    }
    return {"attention": [*table["attention"], *added], **own}


def _values(table: Mapping[str, object], every_set: Sequence[str]) -> Values:
    attentions = table.get("attention")
    if not isinstance(attentions, list) or not attentions or not all(isinstance(a, str) for a in attentions):
        raise UserError(f"attention must be a list of some of {', '.join(DECLARED)}")
    if len(set(attentions)) != len(attentions):
        raise UserError("the list attention has an entry twice")
    known: dict[str, dict[Value, None]] = {}
    for declaration in DECLARED.values():
        for name, choice in declaration.choices.items():
            known.setdefault(name, {}).update(dict.fromkeys(choice.values))
    for key, entry in table.items():
        if key == "attention" or key in known or (key in attentions and isinstance(entry, dict)):
            continue
        where = "is not in the list attention" if key in DECLARED else "is no field and no attention"
        raise UserError(f"key {key!r} {where}; fields are {', '.join(sorted(known))}")
    values = {}
    for attention in attentions:
        if attention not in DECLARED:
            raise UserError(no_attention(attention))
        found = _values_of(attention, table, known, every_set)
        values[attention] = {name: options for name, options in found if options}
    return values


def _values_of(
    attention: str, table: Mapping[str, Any], known: Mapping[str, Mapping[Value, None]], every_set: Sequence[str]
) -> Iterator[tuple[str, tuple[Value, ...]]]:
    """What the table says of each choice of an attention: under its own key, or else of all attentions."""
    own, choices = table.get(attention, {}), DECLARED[attention].choices
    for key in own:
        if key not in choices:
            raise UserError(f"key '{attention}.{key}': {attention} has {', '.join(choices) or 'no fields'}")
    for name, choice in choices.items():
        if name in own:
            yield name, _options(f"{attention}.{name}", own[name], choice.values, every_set)
        elif name in table:
            shared = _options(name, table[name], tuple(known[name]), every_set)
            yield name, tuple(value for value in shared if not choice.values or value in choice.values)


def _options(key: str, given: object, allowed: Sequence[Value], every_set: Sequence[str]) -> tuple[Value, ...]:
    """What a list in the file says; where nothing is said to be allowed, it is of stages."""
    if not isinstance(given, list) or not given:
        raise UserError(f"key {key!r} must be a list with at least one value")
    if len(set(map(str, given))) != len(given):
        raise UserError(f"key {key!r} has a value twice")
    for value in given:
        if not allowed:
            if not (isinstance(value, str) and value):
                raise UserError(f"key {key!r}: {value!r} is not {STAGE_WORDS} or a set of stage digits such as '23'")
        elif value not in allowed or type(value) not in (int, str):
            raise UserError(f"key {key!r}: {value!r} is not allowed; use some of {', '.join(map(str, allowed))}")
    return (ALL_STAGES, *every_set) if not allowed and ANY_STAGES in given else tuple(given)


def _fit(values: Values, backbones: Mapping[str, Layout]) -> None:
    """Leave out stages that a backbone does not have, and all but one of those that mean the same ones."""
    for table in values.values():
        if "stages" in table:
            table["stages"] = fitting_sets(table["stages"], backbones.values())


def _check_stages(values: Values, backbones: Mapping[str, Layout]) -> None:
    for attention, table in values.items():
        for stages, (name, layout) in product(table.get("stages", ()), backbones.items()):
            try:
                Design(attention, stages=stage_digits(stages, layout)).canonical(layout)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None


def _check_start(values: Values) -> None:
    """Where only start=unit is wanted, no other choice may rule it out."""
    for attention, table in values.items():
        if table.get("start") == ("unit",):
            stalls, choices = DECLARED[attention].stalls, DECLARED[attention].choices
            bearing = {*stalls, *(name for stalling in stalls for idle in choices[stalling].idle for name in idle)}
            names = [name for name in table if name in bearing]
            for picked in product(*(table[name] for name in names)):
                Design.from_dict({"attention": attention, **dict(zip(names, picked, strict=True)), "start": "unit"})
