"""What a user means by RUN: the trained network of a folder, a retraining, a study, or a run in MLflow."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.tracking.runs import run_ids
from search.storage import Record, Storage
from search.trials import Job
from space import Design, UserError
from space.backbones import backbone
from space.identity import Identity
from space.saved import DESCRIPTION, WEIGHTS, Saved
from trainers.evaluator import design_folder, weights_name

RETRAININGS = "retrain-*"
"""How the folders of a study's retrainings are called."""
WITH_WEIGHTS = (f"*/{RETRAININGS}", "reproduce/*/*")
"""Where, below a storage's folder, those of studies are that keep what they train."""
MLFLOW_ID = r"[0-9a-f]{32}"


def find(run: str, design: str | None, storage: Storage) -> Saved:
    """The trained network that is meant.

    Args:
        run: a folder of weights, of a retraining or of a study; the name of one of the latter; or the id that
            MLflow gave a training.
        design: which one of a retraining; None for the first that was asked for last, the plain backbone aside.
        storage: of the studies.

    Raises:
        UserError: there is none; told with what there is, and what to do.
    """
    path = Path(run).expanduser()
    if path.is_file() or (path / DESCRIPTION).is_file():
        return _checked(Saved.read(path), design)
    for folder in (path, storage.folder(run)):
        retraining = folder if _described(folder) else _last_retraining(folder)
        if retraining is not None:
            return _of_retraining(retraining, design, storage)
    if re.fullmatch(MLFLOW_ID, run):
        return _checked(_of_mlflow(run, storage), design)
    raise UserError(_not_found(run, storage))


def _checked(saved: Saved, design: str | None) -> Saved:
    return saved if design is None else _of_design([saved], design)


def _described(folder: Path) -> list[Path]:
    """The folders of trained networks in a folder."""
    return sorted(path.parent for path in folder.glob(f"*/{DESCRIPTION}") if path.with_name(WEIGHTS).is_file())


def _last_retraining(study: Path) -> Path | None:
    """The one that was written last."""
    written = {
        max((network / DESCRIPTION).stat().st_mtime_ns for network in networks): folder
        for folder in study.glob(RETRAININGS)
        if (networks := _described(folder))
    }
    return written[max(written)] if written else None


def _of_retraining(folder: Path, design: str | None, storage: Storage) -> Saved:
    """The one of this design; without a text the first one asked for that is not plain."""
    record = _record(folder, storage)
    found = [Saved.read(network) for network in _described(folder)]
    if record is not None:
        uid = record.attributes["uid"]
        found = [saved for saved in found if saved.described.get("study", uid) == uid]
        if not found:
            raise UserError(f"what is in {folder} is from before {record.name} was started anew; train it to the end")
    if design is not None:
        return _of_design(found, design)
    asked = [] if record is None else _asked(record)
    others = [saved for saved in found if saved.design != Design()] or found
    if len(others) > 1 and not asked:
        raise UserError(f"{folder} has several designs; say which by --design: {_listed(found)}")
    return min(others, key=lambda saved: [*asked, saved.folder.name].index(saved.folder.name))


def _asked(record: Record) -> list[str]:
    """The folders of the designs that were asked for last, in this order, then of the others that are trained."""
    last = [design_folder(name, Design.parse(text)) for name, text in record.attributes.get(ASKED, [])]
    return [*last, *(design_folder(*trial.job.candidate) for trial in record.trials)]


def _record(retraining: Path, storage: Storage) -> Record | None:
    """The study of a folder, from this storage or from the one that it is in; None if it was moved."""
    for there in (storage, Storage(str(retraining.absolute().parent.parent))):
        root, folder = there.root.resolve(), retraining.resolve()
        name = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
        if name and there.exists(name):
            return there.read(name)
    return None


def _of_design(found: Sequence[Saved], text: str) -> Saved:
    wanted = [(saved, Design.parse(text).canonical(backbone(saved.backbone).layout)) for saved in found]
    exact = [saved for saved, design in wanted if saved.design == design]
    # With pretrained weights gates start at 1, whatever was typed.
    alike = exact or [saved for saved, design in wanted if saved.design.without("start") == design.without("start")]
    if not alike:
        raise UserError(f"--design {text} is not there; there is: {_listed(found)}")
    if len(alike) > 1:
        folders = " or ".join(str(saved.folder) for saved in alike)
        raise UserError(f"--design {text} is in several backbones; name a folder instead: {folders}")
    return alike[0]


def _listed(found: Sequence[Saved]) -> str:
    return "; ".join(dict.fromkeys(str(saved.design) for saved in found))


def _of_mlflow(run: str, storage: Storage) -> Saved:
    """The network that the training of this id ended with."""
    searches = [name for name in storage.names() if storage.exists(name)]
    for name in [*_with_weights(storage), *searches]:
        record = storage.read(name)
        number = next((number for number, there in run_ids(record.attributes).items() if there == run), None)
        if number is None:
            continue
        job = next(trial.job for trial in record.trials if trial.number == number)
        weights = storage.folder(name) / design_folder(*job.candidate) / weights_name(job.seed)
        if _is_of(weights, record.attributes["uid"], job):
            return Saved.read(weights)
        if name in searches:
            raise UserError(
                f"run {run} is a trial of the search {name}, which keeps no weights; "
                f"retrain it first: search retrain {name} --design '{job.design}'"
            )
        raise UserError(f"run {run} is a training of {name}, which is not complete; run the same command again")
    raise UserError(
        f"no training of a study in {storage.root} has the MLflow id {run}; take the id of a run below a retraining's, "
        "or the retraining's name"
    )


def _is_of(weights: Path, study: str, job: Job) -> bool:
    """Whether a file holds what a study trained, and says nothing else; earlier versions wrote nothing to say so."""
    wanted = Identity(study=study, backbone=job.backbone, design=str(job.design), seed=job.seed)
    if not (weights.is_file() and weights.with_name(DESCRIPTION).is_file()):
        return False
    return Identity.read(weights) in (None, wanted)


def _with_weights(storage: Storage) -> Iterator[str]:
    """The names of the studies that keep what they train."""
    for pattern in WITH_WEIGHTS:
        for folder in sorted(storage.root.glob(pattern)):
            name = folder.relative_to(storage.root).as_posix()
            if folder.is_dir() and storage.exists(name):
                yield name


def _not_found(run: str, storage: Storage) -> str:
    names = storage.names()
    if run in names:
        return f"no retraining of {run} is complete yet; search retrain {run} makes the weights"
    if not names:
        return f"no weights {run!r}, and no study in {storage.root} yet; `search launch` and `search retrain` make them"
    there = [name for name in _with_weights(storage) if _described(storage.folder(name))]
    if not there:
        return f"no weights {run!r}; nothing is retrained yet: search retrain {names[-1]} does it"
    return f"no weights {run!r}; there are {', '.join(there)}, and any folder with {DESCRIPTION} and {WEIGHTS}"


ASKED = "asked"
"""The attribute with the backbones and designs that the last complete command asked for, the plain one first."""
