"""A file of what parts of networks take on some device: measured there, searched with here."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from space.errors import UserError, first_line
from space.files import write_whole
from trainers.task import Task

FORMAT = 1


class DeviceFile(NamedTuple):
    """What a device was measured for.

    Attributes:
        task: what the networks are for.
        costs: what was measured of each cost, by its name, as `MeasuredCost.restore` takes it.
    """

    task: Task
    costs: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "DeviceFile":
        """The one of a file.

        Raises:
            UserError: it is not there, or no such file.
        """
        try:
            table = json.loads(path.read_text())
            if table["format"] != FORMAT:
                raise UserError(f"{path} is of another version of this program; `search calibrate` makes it anew")
            costs = {str(name): dict(of) for name, of in table["costs"].items()}
            if not costs or any({*of} != {"conditions", "plain", "gates"} for of in costs.values()):
                raise ValueError("its costs are not as they should be")
            for of in costs.values():
                for value, spread in (*of["plain"].values(), *of["gates"].values()):
                    if not math.isfinite(float(value) + float(spread)):
                        raise ValueError("a figure is no finite number")
            channels, height, width = map(int, table["shape"])
            return cls(Task(int(table["num_classes"]), (channels, height, width)), costs)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is no device file of `search calibrate`: {first_line(error)}") from None

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What was measured with, all of one device, form and type."""
        conditions: Mapping[str, Any] = next(iter(self.costs.values()))["conditions"]
        return conditions

    def head(self) -> dict[str, Any]:
        """The file but for the figures."""
        return {"format": FORMAT, "num_classes": self.task.num_classes, "shape": list(self.task.shape)}

    def write(self, path: Path) -> None:
        """Write a file, whole or not at all.

        Raises:
            UserError: it cannot be written.
        """
        try:
            write_whole(path, json.dumps({**self.head(), "costs": self.costs}, indent=1))
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
