"""Which data set a user means, how it is split, and how its images are made ready."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from space.errors import UserError
from space.normalisation import Levels

FOLDER_PREFIX = "folder:"


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How a data set is split, and how its images are made ready.

    Attributes:
        train_size: images to train on; None for the data set's own number.
        image_size: side of the square images in pixels; None for the data set's own, in a folder the shortest
            side of all, at most 96.
        shorter_side: of the resized images, of whose central square a training crops parts and judging takes the
            centre; None for `image_size` in a folder, and in proportion for imagenet.
        groups: CSV with the columns file (below the folder) and group; images of one group are in one split.
        mean: of each channel, to normalise with; None to measure it.
        std: likewise.
    """

    train_size: int | None = None
    image_size: int | None = None
    shorter_side: int | None = None
    groups: Path | None = None
    mean: Levels | None = None
    std: Levels | None = None

    def preparation(self) -> dict[str, Any]:
        """These alone, by their names: what another one that extends this is made with."""
        return {field.name: getattr(self, field.name) for field in fields(Preparation)}


@dataclass(frozen=True, kw_only=True)
class Source(Preparation):
    """Which data set, how it is split, and how its images are made ready.

    Attributes:
        name: digits, hard-digits, cifar10, cifar100, stl10, imagenet or folder:PATH.
        root: folder of the torchvision data sets.
        cache: folder of decoded images and of what files hold; None for none.
        cache_bytes: that decoded images may take there; 0 to decode them each time they are read.
        digest: that the data has, see `data_digest`; empty where nobody knows it.
    """

    name: str
    root: Path = Path("data")
    cache: Path | None = None
    cache_bytes: int = 8 * 1024**3
    digest: str = ""

    def __post_init__(self) -> None:
        if self.groups is not None and not self.name.startswith(FOLDER_PREFIX):
            raise UserError(f"--groups is for {FOLDER_PREFIX}PATH; {self.name} has splits of its own, leave it out")
        if self.shorter_side is not None and not self.is_of_files:
            raise UserError(f"a shorter side is for {FOLDER_PREFIX}PATH and imagenet, not for {self.name}")
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"--image-size {self.image_size}: one pixel is the least")

    @property
    def is_of_files(self) -> bool:
        """Whether it has image files of any size, of which squares are cut."""
        return self.name.startswith(FOLDER_PREFIX) or self.name == "imagenet"

    def to_json(self) -> dict[str, Any]:
        """For a file beside weights; `from_json` is the way back, on the same machine."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> "Source":
        """The source that `to_json` described."""
        paths = {name: Path(table[name]) for name in ("root", "cache", "groups") if table[name] is not None}
        levels = {name: tuple(table[name]) for name in ("mean", "std") if table[name] is not None}
        return cls(**{**table, **paths, **levels})
