"""What a network is for: the classes to tell apart, and the images to tell them by."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Attributes:
        num_classes: outputs of the classifier.
        shape: channels, height and width of an image.
    """

    num_classes: int
    shape: tuple[int, int, int]
