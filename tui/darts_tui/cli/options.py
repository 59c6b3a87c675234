"""The options that commands share, and an option for every setting of a config."""

import inspect
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from darts_engine.run import extensions
from darts_engine.run.architecture.spaces import RECURRENT_SETTINGS
from darts_engine.run.folder import LATEST, NAME_PATTERN, list_runs
from darts_engine.run.settings import catalog, methods, presets, search_on_text, training_on_text
from darts_engine.run.settings.config import (
    HVP,
    INITS,
    SCHEDULES,
    SMOOTHINGS,
    STEMS,
    Setting,
    settings,
)
from darts_tui.commands.watch import Watching
from darts_tui.printing.progress import Progress
from darts_tui.runs.naming import DEFAULT_RUNS, RUNS_VARIABLE

# A function that typer makes a command of; returns the exit code.
CommandFunction = Callable[..., int]

# Panels of commands in the help.
START, STEER, LOOK, USE, CARE = "Start", "Steer", "Look", "Use", "Care"
# Panels of options.
WATCHING = "Watching"
RUN_PANEL = "The run"

PANELS = {
    "basis": RUN_PANEL,
    "engine": "Process",
    "data": "Data",
    "space": "Search space",
    "search": "Search",
    "text": "Text",
    "method": "Method (axes)",
    "weights": "Weights (SGD)",
    "alpha": "Alpha (Adam)",
    "network": "Network",
    "train": "Training",
    "checkpoint": "Checkpoints",
}

_CHOICES: dict[str, list[str]] = {
    "search.method": list(presets.PRESETS),
    **{f"method.{field}": list(words) for field, words in methods.CHOICES.items()},
    "search.hvp": list(HVP),
    "text.tokens": list(search_on_text.TOKENS),
    "text.hvp_scale": list(search_on_text.HVP_SCALES),
    "text.statistics": list(search_on_text.STATISTICS),
    "space.space": list(catalog.SPACES),
    "data.dataset": [
        f"{name}:" if name in ("npz", "npy", "folder", "text") else name
        for name in (*catalog.DATASETS, *catalog.TEXTS)
    ],
    "network.stem": list(STEMS),
    "network.init": list(INITS),
    "network.network": ["genotype", "recurrent", "wrn-16-8", "wrn-28-10", "wrn-34-10"],
    "weights.schedule": list(SCHEDULES),
    "train.smoothing": list(SMOOTHINGS),
    "engine.device": ["auto", "cpu", "cuda", "mps"],
}

# Settings whose values packages may add to.
_GROUPS = {
    **{f"method.{axis}": group for axis, group in methods.OPEN.items()},
    "space.space": extensions.SPACES,
    "data.dataset": extensions.DATA,
}


def split_list(text: str) -> list[str]:
    """The names in a list that is separated by commas."""
    return [name for part in text.split(",") if (name := part.strip())]


def complete_run(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of runs for the shell's completion."""
    runs = ctx.params.get("runs") or DEFAULT_RUNS
    names = [LATEST] + [run.name for run in list_runs(Path(runs)) if NAME_PATTERN.match(run.name)]
    return [name for name in names if name.startswith(incomplete)]


def complete_genotype(ctx: typer.Context, incomplete: str) -> list[str]:
    """Published names and runs for the shell's completion."""
    from darts_engine.run.architecture.text import published

    names = list(published()) + [f"run:{name}" for name in complete_run(ctx, "")]
    return [name for name in names if name.startswith(incomplete)]


def complete_recipe(incomplete: str) -> list[str]:
    """Names of recipes for the shell's completion."""
    from darts_engine.run.settings.recipes import names

    return [name for name in names() if name.startswith(incomplete)]


Runs = Annotated[
    Path,
    typer.Option(
        "--runs",
        envvar=RUNS_VARIABLE,
        metavar="DIR",
        help="Folder of the runs.",
        is_eager=True,
        rich_help_panel=RUN_PANEL,
    ),
]
Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        autocompletion=complete_run,
        help="Name of a run, path of its folder, or latest.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Name = Annotated[
    str | None,
    typer.Option("--name", metavar="NAME", help="Name of the run.", rich_help_panel=RUN_PANEL),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.toml",
        help="Take the settings from a file; options on the command line override them. "
        "A run's config.toml repeats that run.",
        rich_help_panel=RUN_PANEL,
    ),
]
Nproc = Annotated[
    int,
    typer.Option(
        "--nproc",
        metavar="N",
        min=1,
        max=64,
        help="Processes that share every batch, each with its own GPU or on the CPU.",
        rich_help_panel=PANELS["engine"],
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Refuse to go on with other versions, threads or another device than the checkpoint "
        "was made with, exit code 4. Without it the log names what differs.",
        rich_help_panel=RUN_PANEL,
    ),
]
Target = Annotated[
    str,
    typer.Argument(
        metavar="RUN|GENOTYPE",
        autocompletion=complete_genotype,
        help="A run, a published genotype, a file or genotype text.",
    ),
]
What = Annotated[
    str | None,
    typer.Option(
        help="Any of cells, alphas, curves, separated by commas, or all; also tensorboard, "
        "parquet. Default: cells, or curves for a training without cells."
    ),
]
Formats = Annotated[
    str, typer.Option("--format", help="Any of svg, png, pdf, dot, separated by commas.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Folder of the files. Default: the run's exports/ folder, or here."
    ),
]
Epoch = Annotated[
    int | None, typer.Option(min=1, help="Export the state after this epoch. Default: the newest.")
]

GenotypeText = Annotated[
    str,
    typer.Argument(
        metavar="GENOTYPE",
        autocompletion=complete_genotype,
        help="run:NAME, a published name, a file or FILE:NAME, - for standard input, or genotype "
        "text in any form; or wrn-DEPTH-WIDTH.",
    ),
]
Operations = Annotated[
    Path | None,
    typer.Option(
        "--operations",
        metavar="FILE.toml",
        help='Your own names of operations, by lines such as dil_conv_3 = "dil_conv_3x3".',
    ),
]
NetworkKind = Annotated[str, typer.Option(help="Family of the network: cifar or imagenet.")]
Channels = Annotated[int | None, typer.Option(min=1, help="Channels C. Default: 36 or 48.")]
Layers = Annotated[int | None, typer.Option(min=1, help="Cells. Default: 20 or 14.")]
Classes = Annotated[int | None, typer.Option(min=1, help="Classes. Default: 10 or 1000.")]
Width = Annotated[
    int | None, typer.Option(min=1, help="Of a recurrent network: its width. Default: 850.")
]
Vocabulary = Annotated[
    int | None, typer.Option(min=1, help="Of a recurrent network: its tokens. Default: 10000.")
]


def watching(
    *,
    progress: Annotated[
        Progress,
        typer.Option(
            "--progress",
            metavar="VIEW",
            help="auto, tui, rich, plain, json or quiet. auto is the dashboard (tui) on a terminal "
            "and plain lines elsewhere; rich has live bars; json prints the events; quiet errors "
            "only. Outside the dashboard, ctrl+c saves a checkpoint and stops; a second ctrl+c "
            "returns at once, and the engine ends by itself.",
            rich_help_panel=WATCHING,
        ),
    ] = Progress.AUTO,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            help="Start the engine, print the run's name and return.",
            rich_help_panel=WATCHING,
        ),
    ] = False,
    mouse: Annotated[
        bool,
        typer.Option(
            "--mouse/--no-mouse", help="Mouse in the dashboard.", rich_help_panel=WATCHING
        ),
    ] = True,
    slow: Annotated[
        bool,
        typer.Option(
            "--slow", help="Redraw once a second, for thin connections.", rich_help_panel=WATCHING
        ),
    ] = False,
    theme: Annotated[
        str | None,
        typer.Option(
            "--theme", metavar="NAME", help="Theme of the dashboard.", rich_help_panel=WATCHING
        ),
    ] = None,
    notify: Annotated[
        str,
        typer.Option(
            "--notify",
            metavar="HOW",
            help="How the dashboard notifies of alerts and the run's end: none, bell, or desktop "
            "(OSC 9, for terminals that support it).",
            rich_help_panel=WATCHING,
        ),
    ] = "none",
) -> Watching:
    """The value of the options about watching a run; `with_watching` gives them to a command."""
    return Watching(progress, detach=detach, mouse=mouse, slow=slow, theme=theme, notify=notify)


def with_watching(*, without: Collection[str] = ()) -> Callable[[CommandFunction], CommandFunction]:
    """Give a command the options of `watching`, but for those named in `without`.

    The command's parameter `watching` receives their value; it is not an option itself.
    """
    added = [
        parameter
        for parameter in inspect.signature(watching, eval_str=True).parameters.values()
        if parameter.name not in without
    ]

    def decorate(command: CommandFunction) -> CommandFunction:
        def generated(**values: Any) -> int:
            chosen = {parameter.name: values.pop(parameter.name) for parameter in added}
            return command(**values, watching=watching(**chosen))

        own = inspect.signature(command, eval_str=True).parameters.values()
        return _with_signature(generated, command, [*_without(own, "watching"), *added])

    return decorate


def with_settings(
    kind: str, only: Collection[str] = ()
) -> Callable[[CommandFunction], CommandFunction]:
    """Give a command an option for every setting of a kind of run, or for those in `only`.

    The command's parameter `given` receives the options that the user gave, by dotted key; it is
    not an option itself.
    """
    table = {
        f"{setting.section}_{setting.field}": setting
        for setting in settings(kind)
        if not only or setting.key in only
    }

    def decorate(command: CommandFunction) -> CommandFunction:
        def generated(context: typer.Context, **values: Any) -> int:
            sources = {name: context.get_parameter_source(name) for name in table}
            given = {
                table[name].key: values[name]
                for name, source in sources.items()
                if source is not None and source.name == "COMMANDLINE"
            }
            shared = {name: value for name, value in values.items() if name not in table}
            return command(**shared, given=given)

        own = inspect.signature(command, eval_str=True).parameters.values()
        parameters = [
            inspect.Parameter("context", _KEYWORD, annotation=typer.Context),
            *_without(own, "given"),
            *(_parameter(name, setting, kind) for name, setting in table.items()),
        ]
        return _with_signature(generated, command, parameters)

    return decorate


def _without(parameters: Iterable[inspect.Parameter], name: str) -> list[inspect.Parameter]:
    return [parameter for parameter in parameters if parameter.name != name]


def _with_signature(
    generated: CommandFunction, command: CommandFunction, parameters: list[inspect.Parameter]
) -> CommandFunction:
    """`generated` with these parameters, from which typer makes the options, and command's help."""
    generated.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    generated.__annotations__ = {p.name: p.annotation for p in parameters}
    generated.__doc__, generated.__name__ = command.__doc__, command.__name__
    return generated


_KEYWORD = inspect.Parameter.KEYWORD_ONLY


def _shown_default(setting: Setting, kind: str) -> bool | str:
    """The default in the help; of a setting of text what the space or network brings to it."""
    if setting.key == "network.genotype":
        return "run:latest"
    brought = RECURRENT_SETTINGS if kind == "search" else training_on_text.BROUGHT
    return (
        str(brought[setting.key]) if setting.section == "text" and setting.key in brought else True
    )


def _parameter(name: str, setting: Setting, kind: str) -> inspect.Parameter:
    flag = setting.option_name
    option = typer.Option(
        f"{flag}/--no-{flag.removeprefix('--')}" if setting.type is bool else flag,
        help=setting.description,
        show_default=_shown_default(setting, kind),
        rich_help_panel=PANELS.get(setting.section, setting.section.capitalize()),
        autocompletion=_completion(setting.key),
    )
    type_: Any = setting.type
    return inspect.Parameter(
        name, _KEYWORD, default=setting.default, annotation=Annotated[type_, option]
    )


def _completion(key: str) -> Callable[..., list[str]] | None:
    if key == "network.genotype":
        return complete_genotype
    if key == "basis.recipe":
        return complete_recipe
    choices = _CHOICES.get(key)
    if choices is None:
        return None

    def complete(incomplete: str) -> list[str]:
        known = choices + extensions.names(_GROUPS[key], choices) if key in _GROUPS else choices
        return [choice for choice in known if choice.startswith(incomplete)]

    return complete
