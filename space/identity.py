"""Whose weights a file holds, written beside its tensors: a folder's name alone would not tell."""

from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The training that weights are of.

    Attributes:
        study: uid of its study.
        backbone: name.
        design: text form.
        seed: of the training.
    """

    study: str
    backbone: str
    design: str
    seed: int

    def __str__(self) -> str:
        return f"{self.backbone} {self.design}, seed {self.seed}"

    def metadata(self) -> dict[str, str]:
        """For `safetensors.torch.save_file`."""
        return {name: str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, weights: Path) -> "Identity | None":
        """That of a safetensors file; None if it does not say, or cannot be read."""
        try:
            with safe_open(weights, "pt") as file:
                said = file.metadata() or {}
            return cls(study=said["study"], backbone=said["backbone"], design=said["design"], seed=int(said["seed"]))
        except (SafetensorError, OSError, LookupError, ValueError):
            return None
