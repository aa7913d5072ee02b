"""The data sets by name, and how each is read: the digits, torchvision's, a user's own folders, and plug-ins'."""

import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from space.errors import UserError, first_line
from space.normalisation import IMAGENET, Levels
from space.registry import Registry
from trainers.contents import Content
from trainers.data import Data, channel_statistics
from trainers.decoded import MappedImages, decoded_once, decoding
from trainers.digits import read_digits, read_hard_digits
from trainers.folders import read_folder
from trainers.identity import data_digest
from trainers.imagenet import read_imagenet
from trainers.images import FileImages, Images, Squares, TensorImages
from trainers.pictures import OnRead
from trainers.source import FOLDER_PREFIX, Source
from trainers.splits import hold_out, subset
from trainers.torchvision_sets import TORCHVISION_SETS

LARGEST_SIDE = 96
"""Images of a folder are made no larger than this, in pixels a side, unless the user asks for it."""
IMAGENET_SIDE, IMAGENET_SHORTER_SIDE = 224, 256
STATISTICS_SAMPLE = 256
"""Image files that mean and standard deviation are measured on, about."""


def read_data(source: Source, *, download: bool = False, check: bool = False, on_read: OnRead | None = None) -> Data:
    """Read a data set.

    Args:
        source: which one.
        download: fetch what is missing, where torchvision can.
        check: decode every file of a folder first, so that a broken one is named before anything trains; and make
            sure that no image is in two of its split folders.
        on_read: told of the progress while files are read here.

    Raises:
        UserError: unknown, missing or unusable data, or other data than the source says; and what to do.
    """
    if source.name.startswith(FOLDER_PREFIX):
        data = _folder(source, check, on_read)
    elif source.name in DATASETS:
        data = DATASETS[source.name](source, download)
    else:
        raise UserError(f"no dataset {source.name!r}; there are {', '.join(DATASETS)} and {FOLDER_PREFIX}PATH")
    if source.digest not in ("", data.digest):
        raise UserError(
            f"{source.name} has other images, labels or splits on {platform.node()} than the study was made with; "
            "put those back, or start another study"
        )
    return data


def _folder(source: Source, check: bool, on_read: OnRead | None) -> Data:
    """Files as squares of `shorter_side` pixels, decoded once or each time; the same to a training."""
    root = Path(source.name.removeprefix(FOLDER_PREFIX)).expanduser()
    folder = read_folder(root, source.train_size, source.groups, check, source.cache, on_read)
    side = source.image_size or min(LARGEST_SIDE, folder.shorter_side)
    files = FileImages(folder.paths, folder.labels, _shorter_side(source, side, side), depth=folder.depth)
    contents = [content.digest for content in folder.contents]
    images: FileImages | MappedImages = files
    notes = (*folder.notes, *_depth_notes(folder.contents, folder.depth))
    if source.cache is not None and source.cache_bytes:
        images, note = decoded_once(files, contents, source.cache, source.cache_bytes, on_read)
        notes += (note,)
    if check and images is files:
        for _ in decoding(files, on_read):
            pass
    return _data(
        source,
        folder.classes,
        (3, side, side),
        [Squares(images.part(indices), side) for indices in folder.splits],
        digest=data_digest(
            folder.classes,
            [files.part(indices) for indices in folder.splits],
            dict(zip(folder.paths, contents, strict=True)),
        ),
        depth=folder.depth,
        notes=notes,
    )


def _depth_notes(contents: Sequence[Content], depth: int) -> Iterator[str]:
    """What becomes of more than 8 bits."""
    if depth > 8:
        yield f"levels of {depth} bits: divided by {2 ** (depth - 8)} in all images that have more than 8"
    if cut := sum(content.cut for content in contents):
        yield f"{cut:,} images have colours of 16 bits: the upper 8 are used"


def _digits(source: Source, download: bool) -> Data:
    classes, splits = read_digits(source.train_size)
    return _data(source, classes, (1, 8, 8), splits, mirrors=False)


def _hard_digits(source: Source, download: bool) -> Data:
    classes, splits = read_hard_digits(source.train_size)
    return _data(source, classes, (1, 8, 8), splits, mirrors=False)


def _torchvision(source: Source, download: bool) -> Data:
    """A tenth of the official training images become the validation split."""
    learn, test, classes = TORCHVISION_SETS[source.name].read(source.name, source.root, download)
    rest, val = hold_out(learn.labels)
    train = subset(learn.labels, rest, source.train_size)
    learnt, judged = (TensorImages(learn.images[indices], learn.labels[indices]) for indices in (train, val))
    channels, height, width = test.images.shape[1:]
    return _data(source, classes, (channels, height, width), [learnt, judged, test])


def _imagenet(source: Source, download: bool) -> Data:
    """The official validation images are the test split; it is known by the names, sizes and labels of its files."""
    side = source.image_size or IMAGENET_SIDE
    shorter_side = _shorter_side(source, side, round(side * IMAGENET_SHORTER_SIDE / IMAGENET_SIDE))
    classes, splits = read_imagenet(source.root, source.train_size, side, shorter_side)
    return _data(source, classes, (3, side, side), splits, lambda images: IMAGENET)


Reader = Callable[[Source, bool], Data]
"""From which data set, and whether to fetch what is missing, to its images."""


def _admit(name: str, reader: Reader) -> Reader:
    """What a plug-in's function reads, of the size and normalised as the user said; whatever it raises is one line."""

    def read(source: Source, download: bool) -> Data:
        try:
            data = reader(source, download)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"dataset {name!r} raises {type(error).__name__}: {first_line(error)}") from error
        if source.train_size not in (None, there := len(data.train.labels)):
            raise UserError(f"dataset {name!r} knows --train-size {there} only, and not {source.train_size}")
        return _data(
            source,
            data.classes,
            data.shape,
            [data.train, data.val, data.test],
            lambda images: (data.mean, data.std),
            digest=data.digest,
            depth=data.depth,
            mirrors=data.mirrors,
            notes=data.notes,
        )

    return read


DATASETS: Registry[Reader] = Registry(
    "dataset",
    {
        "digits": _digits,
        "hard-digits": _hard_digits,
        **dict.fromkeys(TORCHVISION_SETS, _torchvision),
        "imagenet": _imagenet,
    },
    _admit,
)
"""Reader of each data set by name; folder:PATH stands beside them.

For those of plug-ins normalisation and the size of images are seen to here; a number of images to train on that the
reader does not see to is refused.
"""


def _shorter_side(source: Source, side: int, default: int) -> int:
    """Of the resized images, of which squares of this side are used."""
    shorter = default if source.shorter_side is None else source.shorter_side
    if shorter < side:
        raise UserError(
            f"a shorter side of {shorter} pixels is less than the image size, {side}; --image-size {shorter} would do"
        )
    return shorter


def _measured(train: Images) -> tuple[Levels, Levels]:
    """Mean and standard deviation of each channel, of all images in memory, or of some that are to be made ready."""
    if isinstance(train, TensorImages):
        return channel_statistics(train.images)
    some = torch.arange(0, len(train.labels), max(1, len(train.labels) // STATISTICS_SAMPLE))
    return channel_statistics(torch.cat([pixels for pixels, _ in train.batches(some, 64)]))


def _data(
    source: Source,
    classes: tuple[str, ...],
    shape: tuple[int, int, int],
    splits: Sequence[Images],
    measured: Callable[[Images], tuple[Levels, Levels]] = _measured,
    *,
    digest: str = "",
    depth: int = 8,
    mirrors: bool = True,
    notes: tuple[str, ...] = (),
) -> Data:
    """The data set in three splits, of the size and normalised as the user says, else as it is and as measured."""
    digest = digest or data_digest(classes, splits)
    if source.image_size is not None and shape[1:] != (source.image_size,) * 2:
        shape = (shape[0], source.image_size, source.image_size)
        splits = [Squares(images, source.image_size, whole=True) for images in splits]
    train, val, test = splits
    mean, std = source.mean, source.std
    if mean is None or std is None:
        centre, spread = measured(train)
        mean, std = centre if mean is None else mean, spread if std is None else std
    for flag, levels in (("mean", mean), ("standard deviation", std)):
        if len(levels) != shape[0]:
            raise UserError(
                f"normalisation has a {flag} of {len(levels)} channels, and images of {source.name} have {shape[0]}; "
                "use --normalise measured"
            )
    if not (all(0 <= level <= 1 for level in mean) and all(0 < level <= 1 for level in std)):
        raise UserError(f"normalisation by mean {mean} and std {std}: of pixels scaled to 0..1, and std is above 0")
    return Data(
        name=source.name,
        classes=classes,
        shape=shape,
        mean=mean,
        std=std,
        train=train,
        val=val,
        test=test,
        mirrors=mirrors,
        depth=depth,
        digest=digest,
        notes=notes,
    )
