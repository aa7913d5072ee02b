"""Where data comes from: the embedded digits, torchvision's data sets, and a user's own folders."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision import datasets as torchvision_datasets
from torchvision.transforms.v2 import functional

from space.errors import UserError
from space.registry import remember
from trainers.data import Data, FileImages, Images, Squares, TensorImages, channel_statistics
from trainers.decoded import MappedImages, OnDecoded, decoded_once, decoding
from trainers.folders import labelled_files, read_folder, shortest_side
from trainers.splits import split, subset, three_way

FOLDER_PREFIX = "folder:"
DIGITS_TRAIN_SIZE = 200
"""With 1,000 images every design learns the digits to within noise; with 200 they differ."""

MOST_VAL = 50_000
"""Images held out of an official training split, at most."""
IMAGENET_SIDE, IMAGENET_SHORTER_SIDE = 224, 256
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


STATISTICS_SAMPLE = 256
"""Image files that mean and standard deviation are measured on, about."""

Levels = tuple[float, ...]
"""A number for each channel, of pixels scaled to 0..1."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which data set, how it is split, and how its images are made ready.

    Attributes:
        name: digits, cifar10, cifar100, stl10, imagenet or folder:PATH.
        root: folder of the torchvision data sets.
        train_size: images to train on; None for the data set's own number.
        image_size: side of the square images in pixels; None for the data set's own, in a folder the shortest
            side of all, at most 96.
        shorter_side: of the resized images, of whose central square a training crops parts and judging takes the
            centre; None for `image_size` in a folder, and in proportion for imagenet.
        groups: CSV with the columns file (below the folder) and group; images of one group are in one split.
        mean: of each channel, to normalise with; None to measure it.
        std: likewise.
        cache: folder of decoded images, for a folder of files; None to decode them each time they are read.
        cache_bytes: that all that is in `cache` may take.
    """

    name: str
    root: Path = Path("data")
    train_size: int | None = None
    image_size: int | None = None
    shorter_side: int | None = None
    groups: Path | None = None
    mean: Levels | None = None
    std: Levels | None = None
    cache: Path | None = None
    cache_bytes: int = 8 * 1024**3

    def __post_init__(self) -> None:
        folder = self.name.startswith(FOLDER_PREFIX)
        if self.groups is not None and not folder:
            raise UserError(f"--groups is for {FOLDER_PREFIX}PATH; {self.name} has splits of its own, leave it out")
        if self.shorter_side is not None and not folder and self.name != "imagenet":
            raise UserError(f"a shorter side is for {FOLDER_PREFIX}PATH and imagenet, not for {self.name}")
        if self.image_size is not None and self.image_size < 1:
            raise UserError(f"--image-size {self.image_size}: one pixel is the least")


def load(source: Source, *, download: bool = False, check: bool = False, on_decoded: OnDecoded | None = None) -> Data:
    """Read a data set.

    Args:
        source: which one.
        download: fetch what is missing, where torchvision can.
        check: decode every file of a folder first, so that a broken one is named before anything trains; and make
            sure that its splits share none.
        on_decoded: told of the progress while files are decoded here.

    Raises:
        UserError: unknown, missing or unusable data, and what to do.
    """
    if source.name.startswith(FOLDER_PREFIX):
        return _folder(source, check, on_decoded)
    if source.name not in DATASETS:
        raise UserError(f"no dataset {source.name!r}; there are {', '.join(DATASETS)} and {FOLDER_PREFIX}PATH")
    return DATASETS[source.name](source, download)


def _folder(source: Source, check: bool, on_decoded: OnDecoded | None) -> Data:
    """Files as squares of `shorter_side` pixels, decoded once or each time; the same to a training."""
    root = Path(source.name.removeprefix(FOLDER_PREFIX)).expanduser()
    folder = read_folder(root, source.train_size, source.groups, check)
    side = source.image_size or shortest_side(folder.paths)
    files = FileImages(folder.paths, folder.labels, _shorter_side(source, side, side))
    images: FileImages | MappedImages = files
    notes = folder.notes
    if source.cache is not None:
        images, note = decoded_once(files, source.cache, source.cache_bytes, on_decoded)
        notes += (note,)
    if check and images is files:
        for _ in decoding(files, on_decoded):
            pass
    train, val, test = (Squares(images.part(indices), side) for indices in folder.splits)

    def measured() -> tuple[Levels, Levels]:
        some = torch.arange(0, len(train.labels), max(1, len(train.labels) // STATISTICS_SAMPLE))
        return channel_statistics(torch.cat([pixels for pixels, _ in train.batches(some, 64)]))

    return _data(source, folder.classes, (3, side, side), measured, (train, val, test), notes)


def _digits(source: Source, download: bool) -> Data:
    """1,797 images of 8 x 8: `train_size` (200) to train, half of the rest each for validation and test."""
    digits = load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(digits.target.astype(np.int64))
    drawn = three_way(labels, source.train_size, DIGITS_TRAIN_SIZE)
    splits = (TensorImages(images[indices], labels[indices]) for indices in drawn)
    data = _in_memory(source, tuple(str(digit) for digit in digits.target_names), *splits)
    return replace(data, mirrors=False)


def _cifar(kind: type[torchvision_datasets.CIFAR10], megabytes: int) -> Callable[[Source, bool], Data]:
    def read(source: Source, download: bool) -> Data:
        def part(train: bool) -> tuple[TensorImages, tuple[str, ...]]:
            there = kind(str(source.root), train=train, download=download)
            images = torch.from_numpy(there.data).permute(0, 3, 1, 2).contiguous()
            return TensorImages(images, torch.tensor(there.targets)), tuple(there.classes)

        return _official(source, kind.base_folder, megabytes, download, lambda: (*part(True), part(False)[0]))

    return read


def _stl10(source: Source, download: bool) -> Data:
    def part(split: str) -> tuple[TensorImages, tuple[str, ...]]:
        there = torchvision_datasets.STL10(str(source.root), split=split, download=download)
        labels = torch.from_numpy(there.labels.astype(np.int64))
        return TensorImages(torch.from_numpy(there.data), labels), tuple(there.classes)

    folder = torchvision_datasets.STL10.base_folder
    return _official(source, folder, 2640, download, lambda: (*part("train"), part("test")[0]))


def _imagenet(source: Source, download: bool) -> Data:
    """The official validation images are the test split; some of the training images validate."""
    root = source.root / "imagenet"
    if not (root / "train").is_dir() or not (root / "val").is_dir():
        raise UserError(
            f"imagenet is not in {source.root} (looked for imagenet/train and imagenet/val with a folder a class); "
            "unpack what image-net.org gives you, --data-root PATH looks elsewhere"
        )
    wnids, paths, labels = labelled_files(root / "train")
    test_wnids, test_paths, test_labels = labelled_files(root / "val")
    if test_wnids != wnids:
        raise UserError(f"{root}: train/ and val/ do not have the same classes")
    rest, val = _hold_out(labels)
    train = subset(labels, rest, source.train_size)
    side = source.image_size or IMAGENET_SIDE
    shorter = _shorter_side(source, side, round(side * IMAGENET_SHORTER_SIDE / IMAGENET_SIDE))
    learn, test = (
        FileImages(tuple(files), of, side, shorter) for files, of in ((paths, labels), (test_paths, test_labels))
    )
    return _data(
        source,
        _imagenet_names(root, wnids),
        (3, side, side),
        lambda: (IMAGENET_MEAN, IMAGENET_STD),
        (learn.part(train), learn.part(val), test),
    )


def _imagenet_names(root: Path, wnids: tuple[str, ...]) -> tuple[str, ...]:
    """What torchvision's meta.bin calls the classes, if it is there."""
    meta = root / torchvision_datasets.imagenet.META_FILE
    if not meta.is_file():
        return wnids
    try:
        names, _ = torch.load(meta, weights_only=True)
        return tuple(str(names[wnid][0]) if wnid in names else wnid for wnid in wnids)
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError, LookupError) as error:
        raise UserError(f"{meta} is not what torchvision writes; remove it ({type(error).__name__})") from None


Reader = Callable[[Source, bool], Data]
"""From which data set, and whether to fetch what is missing, to its images."""

DATASETS: dict[str, Reader] = {
    "digits": _digits,
    "cifar10": _cifar(torchvision_datasets.CIFAR10, 163),
    "cifar100": _cifar(torchvision_datasets.CIFAR100, 161),
    "stl10": _stl10,
    "imagenet": _imagenet,
}
"""Reader of each data set by name; folder:PATH stands beside them, and plug-ins add theirs."""
remember(DATASETS)


def register(name: str) -> Callable[[Reader], Reader]:
    """Decorator for plug-ins: the function reads the data set of this name.

    What a user typed for normalisation is seen to here; a size that the function does not see to is refused.

    Raises:
        UserError: the name is taken; when the data set is read, whatever the function raises.
    """

    def add(reader: Reader) -> Reader:
        def read(source: Source, download: bool) -> Data:
            try:
                data = reader(source, download)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"dataset {name!r} raises {type(error).__name__}: {error}".splitlines()[0]) from error
            for flag, asked, there in (
                ("--train-size", source.train_size, len(data.train.labels)),
                ("--image-size", source.image_size, data.shape[1]),
            ):
                if asked not in (None, there):
                    raise UserError(f"dataset {name!r} knows {flag} {there} only, and not {asked}")
            splits = (data.train, data.val, data.test)
            normalised = _data(source, data.classes, data.shape, lambda: (data.mean, data.std), splits, data.notes)
            return replace(normalised, mirrors=data.mirrors)

        if name in DATASETS:
            raise UserError(f"there is a dataset {name!r} already; give this one another name")
        DATASETS[name] = read
        return reader

    return add


def _official(
    source: Source,
    folder: str,
    megabytes: int,
    download: bool,
    read: Callable[[], tuple[TensorImages, tuple[str, ...], TensorImages]],
) -> Data:
    """A data set with an official test split: a tenth of its training images become the validation split."""
    if not download and not (source.root / folder).is_dir():
        raise UserError(
            f"{source.name} is not in {source.root} (looked for {folder}); "
            f"--download fetches it ({megabytes:,} MB), --data-root PATH looks elsewhere"
        )
    try:
        learn, classes, test = read()
    except (RuntimeError, AttributeError) as error:  # torchvision's words for a file that is missing or altered
        raise UserError(
            f"{source.name} in {source.root / folder} is incomplete or corrupted; --download fetches it again ({error})"
        ) from None
    except OSError as error:
        raise UserError(f"{source.name} could not be fetched into {source.root}: {error}") from None
    rest, val = _hold_out(learn.labels)
    train = subset(learn.labels, rest, source.train_size)
    learnt, judged = (TensorImages(learn.images[indices], learn.labels[indices]) for indices in (train, val))
    return _in_memory(source, classes, learnt, judged, test)


def _hold_out(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Indices to train on, and a tenth to validate on, at most `MOST_VAL`."""
    count = len(labels)
    return split(labels, torch.arange(count), count - min(max(1, count // 10), MOST_VAL))


def _in_memory(
    source: Source, classes: tuple[str, ...], train: TensorImages, val: TensorImages, test: TensorImages
) -> Data:
    if source.image_size is not None:
        size = [source.image_size] * 2
        train, val, test = (
            TensorImages(functional.resize(split.images, size, antialias=True), split.labels)
            for split in (train, val, test)
        )
    channels, height, width = train.images.shape[1:]
    return _data(
        source, classes, (channels, height, width), lambda: channel_statistics(train.images), (train, val, test)
    )


def _shorter_side(source: Source, side: int, default: int) -> int:
    """Of the resized images, of which squares of this side are used."""
    shorter = default if source.shorter_side is None else source.shorter_side
    if shorter < side:
        raise UserError(
            f"a shorter side of {shorter} pixels is less than the image size, {side}; --image-size {shorter} would do"
        )
    return shorter


def _data(
    source: Source,
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    measured: Callable[[], tuple[Levels, Levels]],
    splits: tuple[Images, Images, Images],
    notes: tuple[str, ...] = (),
) -> Data:
    """The data set, normalised as the user says, else as measured."""
    mean, std = source.mean, source.std
    if mean is None or std is None:
        centre, spread = measured()
        mean, std = centre if mean is None else mean, spread if std is None else std
    for flag, levels in (("mean", mean), ("standard deviation", std)):
        if len(levels) != shape[0]:
            raise UserError(
                f"normalisation has a {flag} of {len(levels)} channels, and images of {source.name} have {shape[0]}; "
                "use --normalise measured"
            )
    if not (all(0 <= level <= 1 for level in mean) and all(0 < level <= 1 for level in std)):
        raise UserError(f"normalisation by mean {mean} and std {std}: of pixels scaled to 0..1, and std is above 0")
    train, val, test = splits
    return Data(
        name=source.name,
        classes=classes,
        shape=shape,
        mean=mean,
        std=std,
        train=train,
        val=val,
        test=test,
        notes=notes,
    )
