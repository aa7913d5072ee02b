"""The command line. Each command is imported when it is called, so that help is quick."""

import functools
import inspect
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.terminal.console import say, silence_libraries
from space.errors import Stopped, UserError

if TYPE_CHECKING:
    from pipelines.settings.options import RunOptions, TaskOptions

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
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        help="Python file that registers attentions, backbones, data sets or samplers; may be given several times.",
    ),
]
MaxParams = Annotated[str | None, typer.Option(help="Most parameters, such as 300k or 1.5M.")]
Limit = Annotated[
    list[str] | None,
    typer.Option(help="Costs that a design may have, such as 'fps>=5k' or 'params<=1.5M'; may be given several times."),
]
MinFps = Annotated[str | None, typer.Option(help="Fewest images a second, such as 5000 or 5k.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
RecipeOption = Annotated[str | None, typer.Option(help="Named recipe, such as digits, fine-tune, one-cycle or ras.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is missing.")]
GateAt = Annotated[
    str | None,
    typer.Option(
        help="Regular expression for the names of the modules whose outputs are gated, its groups telling the stages. "
        "Default: the last normalisation of each residual branch."
    ),
]
ReplaceAttention = Annotated[
    bool,
    typer.Option(
        "--replace-attention",
        help="Take out the attention that a network carries itself, such as SE: plain is the network without it.",
    ),
]
CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder of decoded images and fetched weights; ~/.cache/attention-search if left out."
    ),
]
Run = Annotated[str, typer.Argument(help="Folder of weights, retraining, study, or run in MLflow.")]


def _run_options(
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the torchvision data sets; ./data, or the study's, if left out.")
    ] = None,
    engine: Annotated[str, typer.Option(help="local (this process), ray, or auto: ray where it saves time.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Ray cluster to run on: auto or HOST:6379.")] = None,
    workers: Annotated[int | None, typer.Option(help="Trials at once; as many as fit if left out.")] = None,
    cpus_per_trial: Annotated[int, typer.Option(help="Cores, and threads, of a trial.")] = 1,
    gpus_per_trial: Annotated[
        float | None, typer.Option(help="GPUs of a trial, 1 or a fraction; a fraction bounds its memory.")
    ] = None,
    storage: StorageOption = "runs",
    tracking_uri: Annotated[
        str | None, typer.Option(help="MLflow server; MLFLOW_TRACKING_URI or ./mlflow.db if left out.")
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option(help="Stop, resumably, after a time such as 90s, 30m or 2h.")
    ] = None,
    plugin: Plugins = None,
    cache: CacheOption = None,
    cache_limit: Annotated[
        str, typer.Option(help="Bytes of decoded images to keep, such as 8G; 0 decodes them each time.")
    ] = "8G",
    json: Json = False,
) -> "RunOptions":
    """The options of every command that trains."""
    from pipelines.settings.options import Resources, RunOptions
    from pipelines.terminal.formats import parse_count, parse_duration
    from space.user_code import load_plugins

    return RunOptions(
        data_root=data_root,
        resources=Resources(
            engine=engine,
            address=address,
            workers=workers,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
        ),
        storage=storage,
        tracking_uri=tracking_uri,
        seconds=None if time_limit is None else parse_duration(time_limit, "--time-limit"),
        plugins=load_plugins(plugin or ()),
        cache=cache,
        cache_bytes=0 if cache_limit == "0" else parse_count(cache_limit, "--cache-limit"),
        json=json,
    )


def _task_options(
    dataset: Annotated[
        str | None, typer.Option(help="digits (default), cifar10, cifar100, stl10, imagenet or folder:PATH.")
    ] = None,
    download: Download = False,
    train_size: Annotated[int | None, typer.Option(help="Images to train on.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels a side; the weights' size if left out.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="CSV file with columns file,group: images of a group stay in one split.")
    ] = None,
    normalise: Annotated[
        str | None, typer.Option(help="measured, weights (as those expect) or imagenet; weights where they say.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(
            help="resnet20 (default) and others of `search backbones`, torchvision/NAME, timm/NAME, FILE.py:FACTORY or "
            "package.module:FACTORY; several, by commas, are a choice."
        ),
    ] = None,
    gate_at: GateAt = None,
    replace_attention: ReplaceAttention = False,
    weights: Annotated[
        str | None,
        typer.Option(help="Pretrained weights: FILE.safetensors, FILE.pt, or torchvision's or timm's name for some."),
    ] = None,
    recipe: RecipeOption = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of a training, instead of the recipe's.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step, instead of the recipe's.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Its peak, instead of the recipe's.")] = None,
    no_augmentation: Annotated[
        bool, typer.Option("--no-augmentation", help="Train on the images as they are.")
    ] = False,
    resized_crop: Annotated[
        bool | None,
        typer.Option("--resized-crop/--plain-resize", help="Train on random parts of the images, or on all of them."),
    ] = None,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the images left to right, or none.")
    ] = None,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", help="Weigh each class by the inverse of its share of the images.")
    ] = False,
    metric: Annotated[
        str | None, typer.Option(help="What counts: accuracy (default), balanced_accuracy or macro_f1.")
    ] = None,
    device: Device = "auto",
) -> "TaskOptions":
    """The options that say what is trained on what, and how."""
    from pipelines.settings.options import TaskOptions

    return TaskOptions(
        dataset=dataset,
        download=download,
        train_size=train_size,
        image_size=image_size,
        groups=groups,
        normalise=normalise,
        backbone=backbone,
        gate_at=gate_at,
        replace_attention=replace_attention,
        weights=weights,
        recipe=recipe,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        augmentation=not no_augmentation,
        resized_crop=resized_crop,
        flip=flip,
        class_weights=class_weights,
        metric=metric,
        device=device,
    )


def _takes(**groups: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace parameters of a command by groups of options: such a parameter is what its group's function returns."""

    def replace(command: Callable[..., None]) -> Callable[..., None]:
        options = {name: inspect.signature(make).parameters for name, make in groups.items()}

        @functools.wraps(command)
        def with_options(**given: Any) -> None:
            made = {name: make(**{o: given.pop(o) for o in options[name]}) for name, make in groups.items()}
            command(**given, **made)

        own = inspect.signature(command).parameters
        parameters = [parameter for name, parameter in own.items() if name not in groups]
        parameters += [parameter for there in options.values() for parameter in there.values()]
        with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_options

    return replace


def _load(plugins: list[Path] | None) -> None:
    from space.user_code import load_plugins

    load_plugins(plugins or ())


@app.command()
@_takes(task=_task_options, run=_run_options)
def launch(
    task: "TaskOptions",
    run: "RunOptions",
    budget: Annotated[int, typer.Option(help="Designs to train in all; a larger one extends a study.")] = 200,
    space: Annotated[str | None, typer.Option(help="small (default), papers, full or a TOML file.")] = None,
    sampler: Annotated[
        str, typer.Option(help="tpe, nsga2, random, or an Optuna sampler: package.module:Class.")
    ] = "tpe",
    seed: Annotated[int | None, typer.Option(help="Of the search and all its trainings; 0 if left out.")] = None,
    study: Annotated[str | None, typer.Option(help="Name; derived from the settings if left out.")] = None,
    objectives: Annotated[
        str | None, typer.Option(help="Metric and costs, each cost making a front; accuracy,params,fps if left out.")
    ] = None,
    limit: Limit = None,
    max_params: MaxParams = None,
    min_fps: MinFps = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run; write nothing.")] = False,
) -> None:
    """Search a space of designs and keep the Pareto fronts.

    The same command goes on where it stopped. Exit codes: 0 complete, 1 failed, 2 user error, 3 stopped and resumable.
    """
    from pipelines.settings.options import LaunchOptions

    options = LaunchOptions(
        run=run,
        task=task,
        budget=budget,
        space=space,
        sampler=sampler,
        seed=seed,
        study=study,
        objectives=objectives,
        limit=tuple(limit or ()),
        max_params=max_params,
        min_fps=min_fps,
        dry_run=dry_run,
    )
    from pipelines.commands.launch import launch as start  # takes a second: after the options

    raise typer.Exit(start(options))


@app.command()
@_takes(task=_task_options, run=_run_options)
def compare(
    task: "TaskOptions",
    run: "RunOptions",
    designs: Annotated[list[str], typer.Argument(help="Such as se ras eca:stages=34; the plain network is added.")],
    seeds: Annotated[int, typer.Option(help="Trainings of each design; more extend a comparison.")] = 5,
) -> None:
    """Train designs and the plain network under the same seeds; say which gain, and how sure that is.

    The same command goes on where it stopped; other designs and more seeds extend it.
    """
    from pipelines.settings.options import CompareOptions

    options = CompareOptions(run=run, task=task, designs=tuple(designs), seeds=seeds)
    from pipelines.commands.compare import compare as start

    raise typer.Exit(start(options))


@app.command()
def status(study: Study = None, storage: StorageOption = "runs", plugin: Plugins = None, json: Json = False) -> None:
    """How far a study is."""
    from pipelines.commands.status import show_status

    _load(plugin)
    show_status(study, storage, json)


@app.command()
def front(
    study: Study = None,
    storage: StorageOption = "runs",
    plugin: Plugins = None,
    json: Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Both fronts as CSV on stdout.")] = False,
    png: Annotated[Path | None, typer.Option(help="File to draw both fronts into.")] = None,
) -> None:
    """The Pareto fronts of a study, best first, with the gain over the plain backbone."""
    from pipelines.commands.front import show_front

    _load(plugin)
    show_front(study, storage, json, csv, png)


@app.command()
@_takes(run=_run_options)
def retrain(
    run: "RunOptions",
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
) -> None:
    """Train the best designs on train + val, several seeds each; read the test images once.

    The plain backbone is always trained too. The same command goes on where it stopped.
    """
    from pipelines.settings.options import RetrainOptions

    options = RetrainOptions(
        run=run,
        study=study,
        top=top,
        knee=knee,
        designs=tuple(design or ()),
        seeds=seeds,
        recipe=recipe,
        epochs=epochs,
        register=register,
    )
    from pipelines.commands.retrain import retrain as start

    raise typer.Exit(start(options))


@app.command()
def export(
    run: Run,
    into: Annotated[Path | None, typer.Option(help="Folder to write; export/BACKBONE-DESIGN if left out.")] = None,
    design: Annotated[
        str | None, typer.Option(help="Which design of a retraining; the first asked for if left out.")
    ] = None,
    onnx: Annotated[
        bool | None, typer.Option("--onnx/--no-onnx", help="ONNX, too; where its packages are, if left out.")
    ] = None,
    storage: StorageOption = "runs",
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """Write a retrained network for use elsewhere: safetensors and design, torch.export and ONNX, checked."""
    from pipelines.commands.export import export as start

    _load(plugin)
    raise typer.Exit(start(run, into, design, onnx, storage, json))


@app.command()
def predict(
    run: Run,
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    top: Annotated[int, typer.Option(min=1, help="Classes to print for each image.")] = 3,
    design: Annotated[
        str | None, typer.Option(help="Which design of a retraining; the first asked for if left out.")
    ] = None,
    storage: StorageOption = "runs",
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """What an exported or retrained network takes images for."""
    from pipelines.commands.predict import predict as start

    _load(plugin)
    raise typer.Exit(start(run, images, top, design, storage, json))


@app.command()
@_takes(run=_run_options)
def reproduce(
    run: "RunOptions",
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
    download: Download = False,
    device: Device = "auto",
) -> None:
    """The tables and figures of the RAS and the DIANet paper: ours beside the printed values.

    The same command goes on where it stopped.
    """
    from pipelines.settings.options import Changes, ReproduceOptions

    options = ReproduceOptions(
        run=run,
        name=name,
        every=every,
        params_only=params_only,
        rows=tuple(rows or ()),
        seeds=seeds,
        changes=Changes(dataset=dataset, backbone=backbone, recipe=recipe, epochs=epochs, train_size=train_size),
        download=download,
        device=device,
    )
    from pipelines.commands.reproduce import reproduce as start

    raise typer.Exit(start(options))


@app.command()
def backbones(plugin: Plugins = None, json: Json = False) -> None:
    """The networks that attention can go into."""
    from pipelines.commands.backbones import show_backbones

    _load(plugin)
    show_backbones(json)


@app.command()
def profile(
    design: Annotated[str, typer.Argument(help="Such as ras, se:reduction=8 or ras:depth=3,connection=tanh.")] = "none",
    backbone: Annotated[
        str, typer.Option(help="Such as resnet164, torchvision/resnet50, timm/NAME or FILE.py:FACTORY.")
    ] = "resnet20",
    gate_at: GateAt = None,
    replace_attention: ReplaceAttention = False,
    show_gates: Annotated[
        bool, typer.Option("--show-gates", help="Where gates would sit: module, stage, channels, resolution.")
    ] = False,
    num_classes: Annotated[int, typer.Option(min=1, help="Outputs of the classifier.")] = 10,
    channels: Annotated[int, typer.Option(min=1, help="Channels of an image.")] = 3,
    image_size: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side; 32, or 224 for a network of stride 32, if left out.")
    ] = None,
    device: Device = "auto",
    no_fps: Annotated[bool, typer.Option("--no-fps", help="Leave the timing out.")] = False,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """What a design costs: parameters, MACs for an image, FPS."""
    from pipelines.settings.options import ProfileOptions

    _load(plugin)
    options = ProfileOptions(
        design=design,
        backbone=backbone,
        gate_at=gate_at,
        replace_attention=replace_attention,
        show_gates=show_gates,
        num_classes=num_classes,
        channels=channels,
        image_size=image_size,
        device=device,
        fps=not no_fps,
        json=json,
    )
    from pipelines.commands.profile import profile as start

    start(options)


@app.command()
def space(
    space: Annotated[str, typer.Option(help="small, papers, full or a TOML file.")] = "small",
    backbone: Annotated[str, typer.Option(help="One or several, by commas.")] = "resnet20",
    num_classes: Annotated[int, typer.Option(min=1, help="Outputs of the classifier.")] = 10,
    channels: Annotated[int, typer.Option(min=1, help="Channels of an image.")] = 3,
    image_size: Annotated[int, typer.Option(min=1, help="Pixels a side.")] = 32,
    device: Device = "auto",
    limit: Limit = None,
    max_params: MaxParams = None,
    min_fps: MinFps = None,
    plugin: Plugins = None,
    json: Json = False,
) -> None:
    """How many designs there are, how many meet the limits, and some of them."""
    from pipelines.commands.space import show_space
    from pipelines.settings.devices import find_device

    _load(plugin)
    shape = (channels, image_size, image_size)
    show_space(space, backbone, num_classes, shape, find_device(device, None), limit or (), max_params, min_fps, json)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    silence_libraries()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until a search stops by itself
    try:
        app()
    except UserError as error:
        say(f"search: {error}")
        sys.exit(2)
    except Stopped as error:
        say(f"search: {error}; the same command goes on")
        sys.exit(3)
    except SystemExit as ended:
        if ended.code != TYPER_INTERRUPTED:
            raise
        say("stopped; the same command starts again")
        sys.exit(3)
