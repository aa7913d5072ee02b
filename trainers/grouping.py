"""Which files of a folder stay in one split: copies of each other, and those that a user's CSV puts into one group."""

import csv
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from space.errors import UserError


def first_equal(values: Sequence[Hashable]) -> Tensor:
    """(N,): for each value where the first one is that equals it, which may be itself."""
    first: dict[Hashable, int] = {}
    return torch.tensor([first.setdefault(value, n) for n, value in enumerate(values)])


def joined(groups: Tensor, copy_of: Tensor) -> Tensor:
    """Numbers (N,) of the smallest groups that part neither one of these groups (N,) nor copies of one file (N,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(groups)
    edges = (torch.arange(count).repeat(2), torch.cat([first_equal(groups.tolist()), copy_of]))
    graph = coo_array((torch.ones(2 * count), edges), shape=(count, count))
    return torch.from_numpy(connected_components(graph, directed=False)[1])


def check_copies(paths: Sequence[Path], copy_of: Tensor, of: Tensor, what: str) -> None:
    """Make sure that copies are alike in something.

    Args:
        paths: of all files.
        copy_of: (N,), the first file of the same content.
        of: (N,), numbers that are to be the same for copies.
        what: the numbers stand for, in the plural.

    Raises:
        UserError: naming two files where they are not.
    """
    wrong = (of[copy_of] != of).nonzero().flatten().tolist()
    if wrong:
        one, other = paths[int(copy_of[wrong[0]])], paths[wrong[0]]
        more = f"; {len(wrong) - 1:,} more are alike" if len(wrong) > 1 else ""
        raise UserError(f"{one} and {other} are one image in two {what}; remove one of them{more}")


def read_groups(table: Path, root: Path, paths: Sequence[Path], parts: Mapping[str, Tensor]) -> Tensor:
    """The group of each file (N,), as a number.

    Args:
        table: CSV with the columns file (below the root) and group.
        root: the folder.
        paths: of all files.
        parts: indices of the files in each given split.

    Raises:
        UserError: a file without a group or a group without its file, or one that is in two given splits.
    """
    names = _group_names(table)
    files = [path.relative_to(root).as_posix() for path in paths]
    for file in files:
        if file not in names:
            raise UserError(f"{table} has no group for {file}; give each image file one")
    there = set(files)
    for file in names:
        if file not in there:
            raise UserError(f"{table} has a group for {file}, which is no image file in {root}; remove that row")
    number = {name: n for n, name in enumerate(dict.fromkeys(names.values()))}
    of = torch.tensor([number[names[file]] for file in files])
    for one, other in combinations(parts, 2):
        if shared := {*of[parts[one]].tolist()} & {*of[parts[other]].tolist()}:
            name = [*number][min(shared)]
            raise UserError(f"{table}: group {name} is in {one}/ and in {other}/; move its images into one of them")
    return of


def _group_names(table: Path) -> dict[str, str]:
    """Group by file, as a CSV with the columns file and group says."""
    names: dict[str, str] = {}
    try:
        with table.open(newline="", encoding="utf-8-sig") as text:
            rows = csv.DictReader(text)
            if not {"file", "group"} <= {*(rows.fieldnames or ())}:
                raise UserError(f"{table} has no header file,group; give it one, and a row for each image file")
            for row in rows:
                if not row["file"] or not row["group"]:
                    raise UserError(f"{table} line {rows.line_num} lacks a file or a group; add it or remove the line")
                file, group = PurePosixPath(row["file"]).as_posix(), row["group"]
                if names.setdefault(file, group) != group:
                    raise UserError(f"{table} has {file} in groups {names[file]} and {group}; keep one of the rows")
    except (OSError, UnicodeError, csv.Error) as error:
        raise UserError(f"{table} is no CSV that can be read ({error}); it needs the columns file and group") from None
    return names
