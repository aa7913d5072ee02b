"""How networks will run once they are trained: here, or as a device file says."""

from typing import Any

from pipelines.settings.devices import find_device, find_device_name
from pipelines.settings.meant import meant
from pipelines.settings.options.shared import Resources
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.study import Settings, digest_of
from space.errors import UserError
from space.files import absolute
from trainers.deployment import DTYPES, FORMS, Deployment
from trainers.device_file import DeviceFile
from trainers.task import Task


def find_deployment(device: str, form: str | None, dtype: str | None) -> Deployment:
    """How networks run on this machine, as typed.

    Raises:
        UserError: as `find_device` does, or they cannot run so.
    """
    return Deployment(device=find_device(device, None), form=form or FORMS[0], dtype=dtype or DTYPES[0])


def resolve_deployment(said: TaskOptions, frozen: Settings | None, device: str, task: Task) -> Deployment:
    """How the networks of a study run.

    Args:
        said: by the user.
        frozen: settings of the study, if it exists.
        device: that it trains on.
        task: what the networks are for.

    Raises:
        UserError: a device file that is none, or one of something else; or networks cannot run so.
    """
    if said.device_file is None:
        return Deployment(
            device=device,
            form=meant(said.form, frozen, "form", FORMS[0]),
            dtype=meant(said.dtype, frozen, "dtype", DTYPES[0]),
            file=frozen.deployment.file if frozen else None,
        )
    path = absolute(said.device_file)
    file = DeviceFile.read(path)
    for flag, typed in (("form", said.form), ("dtype", said.dtype)):
        if typed not in (None, file.conditions[flag]):
            raise UserError(f"--{flag} {typed}: {said.device_file} was measured with {file.conditions[flag]}")
    if file.task.shape != task.shape:
        theirs, ours = (" x ".join(map(str, shape)) for shape in (file.task.shape, task.shape))
        raise UserError(f"{said.device_file} was measured with images of {theirs}, and these are {ours}")
    return Deployment(device=device, form=file.conditions["form"], dtype=file.conditions["dtype"], file=path)


def deployment_settings(deployment: Deployment, frozen: Settings | None, resources: Resources) -> dict[str, Any]:
    """What a study keeps of it.

    Args:
        deployment: that is meant.
        frozen: settings of the study, if it exists.
        resources: where trials run.
    """
    file = deployment.file
    if file is None or not file.exists():  # what is measured is in the study
        found = find_device_name(deployment.device, resources.address, resources.node_type)
        name = meant(None, frozen, "device_name", found)
        digest = frozen.device_digest if frozen else None
    else:
        name, digest = str(DeviceFile.read(file).conditions["device"]), digest_of(file)
    return {
        "form": deployment.form,
        "dtype": deployment.dtype,
        "device_file": None if file is None else str(file),
        "device_digest": digest,
        "device_name": name,
    }
