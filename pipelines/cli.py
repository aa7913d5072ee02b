"""The command line. Each command is imported when it is called, so that help is quick."""

import functools
import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.console import silence_libraries, stderr
from space.errors import UserError

if TYPE_CHECKING:
    from pipelines.engines import Resources

app = typer.Typer(
    name="search",
    help="Search attention designs for convolutional image classifiers; keep the Pareto fronts; retrain the best.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

TYPER_INTERRUPTED = 130
"""Exit code that Typer turns a KeyboardInterrupt into."""

Study = Annotated[str | None, typer.Argument(help="Name of the study; the last one written if left out.")]
StorageOption = Annotated[str, typer.Option("--storage", help="Folder of the studies, or a database URL.")]
Json = Annotated[bool, typer.Option("--json", help="Result as JSON on stdout; all else on stderr.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of the torchvision data sets; ./data if left out.")]
Tracking = Annotated[str | None, typer.Option(help="MLflow server; MLFLOW_TRACKING_URI or ./mlflow.db if left out.")]
TimeLimit = Annotated[str | None, typer.Option(help="Stop, resumably, after a time such as 90s, 30m or 2h.")]
MaxParams = Annotated[str | None, typer.Option(help="Most parameters, such as 300k or 1.5M.")]
MinFps = Annotated[str | None, typer.Option(help="Fewest images a second, such as 5000 or 5k.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
RecipeOption = Annotated[str | None, typer.Option(help="Named recipe, such as digits, one-cycle or ras.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")]


def _resource_options(
    engine: Annotated[str, typer.Option(help="local (this process), ray, or auto: ray where it saves time.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to run on: auto or HOST:6379.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at once; as many as fit if left out.")] = None,
    cpus_per_trial: Annotated[int, typer.Option(help="Cores, and threads, of a trial.")] = 1,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs of a trial, 1 or a fraction; a fraction bounds its memory.")
    ] = None,
) -> None:
    """The options of every command that trains."""


def _trains(command: Callable[..., None]) -> Callable[..., None]:
    """Replace a command's parameter `resources` by the options that say where trials run."""
    options = inspect.signature(_resource_options).parameters
    own = inspect.signature(command).parameters

    @functools.wraps(command)
    def with_resources(**given: Any) -> None:
        from pipelines.engines import Resources

        chosen = {name: given.pop(name) for name in options}
        command(**given, resources=Resources(**chosen))

    parameters = [parameter for name, parameter in own.items() if name != "resources"]
    parameters += options.values()
    with_resources.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
    with_resources.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_resources


@app.command()
@_trains
def launch(
    resources: "Resources",
    budget: Annotated[int, typer.Option(help="Designs to train in all; a larger one extends a study.")] = 200,
    dataset: Annotated[
        str | None, typer.Option(help="digits (default), cifar10, cifar100, stl10, imagenet or folder:PATH.")
    ] = None,
    data_root: DataRoot = None,
    download: Download = False,
    train_size: Annotated[int | None, typer.Option(help="Images to train on.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="See `search backbones`; several, by commas, are a choice. Default: resnet20.")
    ] = None,
    space: Annotated[str | None, typer.Option(help="small (default), papers, full or a TOML file.")] = None,
    sampler: Annotated[str, typer.Option(help="tpe, nsga2 or random.")] = "tpe",
    device: Device = "auto",
    epochs: Annotated[int | None, typer.Option(help="Epochs of a trial, instead of the recipe's.")] = None,
    recipe: RecipeOption = None,
    no_augmentation: Annotated[
        bool, typer.Option("--no-augmentation", help="Train on the images as they are.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of the search and all its trainings; 0 if left out.")] = None,
    study: Annotated[str | None, typer.Option(help="Name; derived from the settings if left out.")] = None,
    storage: StorageOption = "runs",
    tracking_uri: Tracking = None,
    max_params: MaxParams = None,
    min_fps: MinFps = None,
    time_limit: TimeLimit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; write nothing.")] = False,
    json: Json = False,
) -> None:
    """Search a space of designs and keep the Pareto fronts.

    The same command goes on where it stopped. Exit codes: 0 complete, 1 failed, 2 user error, 3 stopped and resumable.
    """
    from pipelines.launch import launch as run
    from pipelines.resolve import Options

    options = Options(
        budget=budget,
        dataset=dataset,
        data_root=data_root,
        download=download,
        train_size=train_size,
        backbone=backbone,
        space=space,
        sampler=sampler,
        resources=resources,
        device=device,
        epochs=epochs,
        recipe=recipe,
        augmentation=not no_augmentation,
        seed=seed,
        study=study,
        storage=storage,
        tracking_uri=tracking_uri,
        max_params=max_params,
        min_fps=min_fps,
        time_limit=time_limit,
        dry_run=dry_run,
        json=json,
    )
    raise typer.Exit(run(options))


@app.command()
def status(study: Study = None, storage: StorageOption = "runs", json: Json = False) -> None:
    """How far a study is."""
    from pipelines.status import show_status

    show_status(study, storage, json)


@app.command()
def front(
    study: Study = None,
    storage: StorageOption = "runs",
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Both fronts as CSV on stdout.")] = False,
    png: Annotated[Path | None, typer.Option(help="File to draw both fronts into.")] = None,
) -> None:
    """The Pareto fronts of a study, best first, with the gain over the plain backbone."""
    from pipelines.front import show_front

    show_front(study, storage, json, csv, png)


@app.command()
@_trains
def retrain(
    resources: "Resources",
    study: Study = None,
    top: Annotated[
        int | None,
        typer.Option(help="The N most accurate designs of the two fronts, then of the others. Default: --top 3."),
    ] = None,
    knee: Annotated[
        bool,
        typer.Option(
            "--knee", help="The design of the params front farthest above the line between the front's two ends."
        ),
    ] = False,
    design: Annotated[list[str] | None, typer.Option(help="A design by its text; may be given several times.")] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each design; more extend a retraining.")] = 3,
    recipe: RecipeOption = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the recipe's.")] = None,
    register: Annotated[
        str | None, typer.Option(help="Register the first design's model (seed 0) in MLflow under this name.")
    ] = None,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the data sets; the search's if left out.")] = None,
    storage: StorageOption = "runs",
    tracking_uri: Tracking = None,
    time_limit: TimeLimit = None,
    json: Json = False,
) -> None:
    """Train the best designs on train + val, several seeds each; read the test images once.

    The plain backbone is always trained too. The same command goes on where it stopped.
    """
    from pipelines.retrain import Options
    from pipelines.retrain import retrain as run

    options = Options(
        study=study,
        top=top,
        knee=knee,
        designs=tuple(design or ()),
        seeds=seeds,
        recipe=recipe,
        epochs=epochs,
        register=register,
        data_root=data_root,
        resources=resources,
        storage=storage,
        tracking_uri=tracking_uri,
        time_limit=time_limit,
        json=json,
    )
    raise typer.Exit(run(options))


@app.command()
@_trains
def reproduce(
    resources: "Resources",
    name: Annotated[str | None, typer.Argument(help="Of an experiment; left out, they are listed.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every experiment; with --params-only.")] = False,
    params_only: Annotated[bool, typer.Option("--params-only", help="Count parameters; train nothing.")] = False,
    rows: Annotated[
        list[str] | None, typer.Option(help="Only rows with these words in their name; may be given several times.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each network; more extend a reproduction.")] = 3,
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the paper's.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set instead of the paper's, with its own recipe.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone instead of the paper's.")] = None,
    recipe: RecipeOption = None,
    train_size: Annotated[int | None, typer.Option(help="Images to train on; all if left out.")] = None,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = "auto",
    storage: StorageOption = "runs",
    tracking_uri: Tracking = None,
    time_limit: TimeLimit = None,
    json: Json = False,
) -> None:
    """The tables and figures of the RAS and the DIANet paper: ours beside the printed values.

    The same command goes on where it stopped.
    """
    from pipelines.groups import Changes
    from pipelines.reproduce import Options
    from pipelines.reproduce import reproduce as run

    options = Options(
        name=name,
        every=every,
        params_only=params_only,
        rows=tuple(rows or ()),
        seeds=seeds,
        changes=Changes(dataset=dataset, backbone=backbone, recipe=recipe, epochs=epochs, train_size=train_size),
        data_root=data_root,
        download=download,
        device=device,
        resources=resources,
        storage=storage,
        tracking_uri=tracking_uri,
        time_limit=time_limit,
        json=json,
    )
    raise typer.Exit(run(options))


@app.command()
def backbones(json: Json = False) -> None:
    """The networks that attention can go into."""
    from pipelines.backbones import show_backbones

    show_backbones(json)


@app.command()
def profile(
    design: Annotated[str, typer.Argument(help="Such as ras, se:reduction=8 or ras:depth=3,connection=tanh.")],
    backbone: Annotated[str, typer.Option(help="Such as resnet164.")] = "resnet20",
    num_classes: Annotated[int, typer.Option(min=1, help="Outputs of the classifier.")] = 10,
    channels: Annotated[int, typer.Option(min=1, help="Channels of an image.")] = 3,
    image_size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 32,
    device: Device = "auto",
    no_fps: Annotated[bool, typer.Option("--no-fps", help="Leave the timing out.")] = False,
    json: Json = False,
) -> None:
    """What a design costs: parameters, MACs for an image, FPS."""
    from pipelines.profile import profile as run

    run(design, backbone, num_classes, (channels, image_size, image_size), device, not no_fps, json)


@app.command()
def space(
    space: Annotated[str, typer.Option(help="small, papers, full or a TOML file.")] = "small",
    backbone: Annotated[str, typer.Option(help="One or several, by commas.")] = "resnet20",
    num_classes: Annotated[int, typer.Option(min=1, help="Outputs of the classifier.")] = 10,
    channels: Annotated[int, typer.Option(min=1, help="Channels of an image.")] = 3,
    image_size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 32,
    device: Device = "auto",
    max_params: MaxParams = None,
    min_fps: MinFps = None,
    json: Json = False,
) -> None:
    """How many designs there are, how many meet the limits, and some of them."""
    from pipelines.engines import find_device
    from pipelines.space import show_space

    shape = (channels, image_size, image_size)
    show_space(space, backbone, num_classes, shape, find_device(device, None), max_params, min_fps, json)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    silence_libraries()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until a search stops by itself
    try:
        app()
    except UserError as error:
        stderr.print(f"search: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as ended:
        if ended.code != TYPER_INTERRUPTED:
            raise
        stderr.print("stopped; the same command starts again")
        sys.exit(3)
