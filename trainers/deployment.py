"""How a network runs once it is trained: in which form and type, and on what. Speed and memory are those of that."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from space.errors import UserError

FORMS = ("folded", "eager", "compiled", "onnxruntime")
"""Folded for inference, by `space.fold`; as it was trained; folded and compiled; as onnxruntime runs it."""
DTYPES = ("float32", "bfloat16")
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
EXTRA = "pip install 'attention-search[export]'"


def check_form(form: str | None) -> None:
    """Make sure that a user may mean this form; None for nothing said.

    Raises:
        UserError: it is none.
    """
    if form not in (None, *FORMS):
        raise UserError(f"--form {form}: there are {', '.join(FORMS)}")


def check_dtype(dtype: str | None) -> None:
    """Likewise a type."""
    if dtype not in (None, *DTYPES):
        raise UserError(f"--dtype {dtype}: there are {', '.join(DTYPES)}")


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """How a network runs.

    Attributes:
        device: cpu or cuda.
        form: one of `FORMS`.
        dtype: of weights and images, one of `DTYPES`.
        file: of `DeviceFile`, that tells what parts take on another device; None where they are measured on this one.
    """

    device: str = "cpu"
    form: str = FORMS[0]
    dtype: str = DTYPES[0]
    file: Path | None = None

    def __post_init__(self) -> None:
        check_form(self.form)
        check_dtype(self.dtype)
        if self.form == "onnxruntime" and self.file is None:
            if (self.device, self.dtype) != ("cpu", "float32"):
                raise UserError("--form onnxruntime is measured on CPUs in float32; use --form compiled elsewhere")
            if not all(map(find_spec, ONNX_PACKAGES)):
                raise UserError(f"--form onnxruntime needs {', '.join(ONNX_PACKAGES)}: {EXTRA}")
