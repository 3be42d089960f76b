"""The verbs of the command line: each reads its flags, calls one function, and prints what it returns."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from absl import flags

from cnnjax import recipes, tables
from cnnjax.core.errors import RunError, UserError
from cnnjax.core.files import finite
from cnnjax.weights.names import Source

TEXTS = {
    "config": "recipe: FILE or FILE:VARIANT",
    "workdir": "run folder",
    "data_dir": "where data are kept; default $CNNJAX_DATA_DIR, else ~/.cache/cnnjax",
    "checkpoint": "best or last; default: the best where there is one",
    "split": "train, val or test; default: test, of converted weights test, else val, else all there is",
    "model": "a registered model, package.module:Class or plain:PATTERN",
    "input": "HxWxC, such as 224x224x3; default: the model's own",
    "arch": "model of the weights, such as resnet50; cnnjax models lists them",
    "from": "file of weights: .safetensors, .h5, or with --allow_pickle .pth, .pt, .bin",
    "to": "file or folder to write",
    "source": "whose names the file uses: torchvision, timm, cadene or keras; default: found from the keys",
    "tag": "which published weights these are, such as IMAGENET1K_V1: decides size and normalization of the images",
    "classes": "file with a class name a line, or KEY TAB NAME; default: numbers",
    "filter": "part of a name or family",
    "test": "comma-separated: translation, rotation, scale, brightness, contrast, blur, noise, occlusion, corruptions",
    "attack": "comma-separated: fgsm, fgsm_l2, pgd, pgd_l2; with neither --test nor --attack all tests, fgsm and pgd",
    "epsilon": "comma-separated radii of the attacks, pixels of 0-1",
    "target": "class that attacks lead to, or least_likely; default: away from the right one",
    "image": "image file; more may follow as arguments",
    "layer": "an inner layer, as --method receptive_field lists them; default: the last with a map, of feature_maps "
    "the first too",
    "method": "comma-separated: cam, grad_cam, grad_cam_plus_plus, saliency, guided_backprop, integrated_gradients, "
    "smoothgrad, occlusion, filters, feature_maps; default: of these all that fit; or maximize, receptive_field",
    "class": "the class to explain; default: the likeliest of each image",
}
NUMBERS = {
    "num_train_images": "in the training split, which tells how many steps its epochs are",
    "num_classes": "how many classes; default: the model's own",
    "repeat": "train so many seeds, each in a folder of its own",
    "top": "how many classes an image; default 5",
    "count": "how many images of the split",
    "steps": "how many steps",
    "max_params": "leave out larger models",
    "max_macs": "leave out models of more MACs",
}
SWITCHES = {
    "synthetic": "one prepared batch of noise instead of the data: model and optimizer alone",
    "augment": "with --synthetic: put augmentation back",
    "input_only": "leave the model out: reading, transfer and augmentation alone",
    "debug": "show the traceback of an error",
    "report": "also the scores of every class, calibration, intervals, predictions/<split>.csv, and report.html",
    "published": "set the published models beside the runs in the chart of accuracy against operations",
    "calibrate": "first fit a temperature to the validation split, and write calibration.json",
    "calibrated": "divide logits by the temperature that --calibrate has fitted",
    "csv": "print file,rank,class,probability lines on stdout",
    "json": "print one JSON document on stdout",
    "allow_pickle": "let PyTorch read a pickled file, weights only; give it for files that you trust",
    "markdown": "print the table of docs/models.md",
    "print_config": "show every option with its value and where it came from, and do nothing",
}
DEFAULTS: dict[str, Any] = {"top": 5}


@dataclass(frozen=True)
class Verb:
    """One line of `cnnjax --help`, and what stands behind it.

    Attributes:
      files: takes arguments that are no flags.
      overrides: takes --config.SECTION.KEY=VALUE.
      says: what flags mean here, where TEXTS, NUMBERS and SWITCHES say less.
    """

    run: Callable[[flags.FlagValues, dict[str, str], list[str]], int | None]
    what: str
    flags: tuple[str, ...]
    example: str
    files: bool = False
    overrides: bool = True
    says: Mapping[str, str] = field(default_factory=dict)


def _train(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    recipe = recipes.load(_needed(flag, "config"), overrides)
    if flag.print_config:
        return print(tables.options(recipe))
    from cnnjax import run

    workdir = flag.workdir or f"runs/{recipe.name}"
    flag["workdir"].value = workdir  # main names it where something fails
    if flag.repeat:
        run.repeat(recipe.config, workdir, flag.repeat, data_dir=flag.data_dir)
    else:
        run.train(recipe.config, workdir, data_dir=flag.data_dir)


def _prepare(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    recipe = recipes.load(_needed(flag, "config"), overrides)
    from cnnjax.data import prepare

    dataset = prepare(recipe.config, flag.data_dir)
    counts = ", ".join(f"{count:,} {split}" for split, count in dataset.counts.items())
    shape = "x".join(map(str, dataset.shape))
    print(f"{counts} images of {len(dataset.class_names)} classes, {shape}, as {dataset.store} in {dataset.folder}")


def _evaluate(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    workdirs = _workdirs(flag)
    together = len(workdirs) > 1
    if together and (flag.report or flag.calibrate):
        raise UserError("--report and --calibrate write into a run folder; give --workdir one run for them")
    from cnnjax.runs import actions

    where: dict[str, Any] = {"checkpoint": _checkpoint(flag), "data_dir": flag.data_dir, "overrides": overrides}
    calibration = {"calibration": actions.calibrate(workdirs[0], **where)} if flag.calibrate else {}
    options = {"split": flag.split, "calibrated": flag.calibrated, **where}
    if together:
        report = actions.evaluate_ensemble(workdirs, **options)
    else:
        report = actions.evaluate(workdirs[0], report=flag.report, **options)
    if flag.json:
        return print(json.dumps(finite(report | calibration)))
    print(tables.ensemble(report) if together else tables.evaluation(report))


def _report(flag: flags.FlagValues, _: dict[str, str], workdirs: list[str]) -> None:
    workdirs = (_workdirs(flag) if flag.workdir else []) + workdirs
    if not workdirs:
        raise UserError("report needs a run folder; name one or several after it")
    from cnnjax.runs import actions

    print(actions.report(workdirs, to=flag.to, published=flag.published))


def _predict(flag: flags.FlagValues, overrides: dict[str, str], paths: list[str]) -> int:
    workdirs = _workdirs(flag)
    if not paths:
        raise UserError("predict needs images; name files or folders after the flags")
    _one_of(flag, "json", "csv")
    from cnnjax.core import logs
    from cnnjax.runs import actions

    options: dict[str, Any] = {"checkpoint": _checkpoint(flag), "top": flag.top, "overrides": overrides}
    results = actions.predict(workdirs, paths, calibrated=flag.calibrated, **options)
    if flag.json:
        print(json.dumps(results))
    elif flag.csv:
        print(tables.predictions_csv(results), end="")
    else:
        tables.show_predictions(results)
    wrong = [result["error"] for result in results if "error" in result]
    for error in wrong:
        logs.say(error)
    if wrong:
        logs.say(f"{len(wrong)} of {len(results)} files could not be classified")
    return 1 if wrong else 0


def _soup(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    workdirs, to = _workdirs(flag), _needed(flag, "to")
    from cnnjax.runs import ensemble

    ensemble.soup(workdirs, to, checkpoint=_checkpoint(flag))


def _summary(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    if sum(map(bool, (flag.config, flag.workdir, flag.model))) != 1:
        raise UserError("summary takes one of --config FILE, --workdir RUN and --model NAME")
    if overrides and not flag.config:
        raise UserError("overrides belong to a recipe; give summary --config FILE with them")
    if (flag.num_classes or flag.input) and not flag.model:
        raise UserError("--num_classes and --input belong to --model; override config.model.* of a recipe instead")
    recipe = recipes.load(flag.config, overrides) if flag.config else None
    from cnnjax.runs import actions

    size = _input_size(flag.input) if flag.input else None
    summary, digest = actions.summarize(
        recipe.config if recipe else None,
        workdir=flag.workdir,
        model=flag.model,
        num_classes=flag.num_classes,
        input_size=size,
    )
    print(json.dumps(summary.to_json() | {"params_digest": digest}) if flag.json else summary.text())


def _convert(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    workdir = _needed(flag, "workdir")
    if bool(flag["from"].value) == bool(flag.to):
        raise UserError("convert takes either --arch NAME --from FILE, or --to FILE")
    source = flag.source
    if source not in (None, *get_args(Source)):
        raise UserError(f"--source={source} is none of {', '.join(get_args(Source))}")
    from cnnjax.runs import convert

    if flag.to:
        reading = ("arch", "tag", "num_classes", "classes", "allow_pickle")
        if given := ", ".join(f"--{name}" for name in reading if flag[name].value):
            raise UserError(f"--to writes a run as it is and takes no {given}; leave that out, or give --from")
        return convert.export(workdir, flag.to, source=source)
    convert.convert(
        _needed(flag, "arch"),
        _needed(flag, "from"),
        workdir,
        source=source,
        tag=flag.tag,
        num_classes=flag.num_classes,
        class_names=_class_names(flag.classes) if flag.classes else (),
        allow_pickle=flag.allow_pickle,
    )


def _class_names(path: str) -> list[str]:
    """The lines of a text file that are not blank, of each what stands behind its last tab.

    ImageNet's list, SYNSET TAB NAME, has two cranes: where a name repeats, what stands before the tab is added.
    """
    if not Path(path).is_file():
        raise UserError(f"--classes={path} is no file; give one with a class name a line")
    try:
        lines = Path(path).read_text("utf-8").split("\n")
    except UnicodeDecodeError:
        raise UserError(f"--classes={path} is no text in UTF-8; give one with a class name a line") from None
    rows = [(key.strip(), name.strip()) for key, _, name in (line.rpartition("\t") for line in lines) if name.strip()]
    if not rows:
        raise UserError(f"--classes={path} is empty; give one with a class name a line")
    often = Counter(name for _, name in rows)
    return [f"{name} ({key})" if key and often[name] > 1 else name for key, name in rows]


def _explain(flag: flags.FlagValues, overrides: dict[str, str], paths: list[str]) -> None:
    workdir = _needed(flag, "workdir")
    from cnnjax import explain

    found = explain.study(
        workdir,
        [flag.image, *paths] if flag.image else paths,
        split=flag.split,
        count=flag.count,
        methods=_words(flag.method) or (),
        layer=flag.layer,
        class_name=flag["class"].value,
        to=flag.to,
        checkpoint=_checkpoint(flag),
        data_dir=flag.data_dir,
        overrides=overrides,
    )
    if found.text:
        print(found.text)
    for path in found.files:
        print(path)


def _filters(flag: flags.FlagValues, overrides: dict[str, str], paths: list[str]) -> None:
    if len(paths) != 1:
        raise UserError("filters takes one image file, such as cnnjax filters holiday.jpg")
    from cnnjax import explain

    print(explain.draw_filters(paths[0], flag.to or f"{Path(paths[0]).stem}_filters.png"))


def _robustness(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    from cnnjax import robustness

    report = robustness.study(
        _needed(flag, "workdir"),
        split=flag.split,
        count=flag.count or 1000,
        tests=_words(flag.test),
        attacks=_words(flag.attack),
        epsilons=_radii(flag.epsilon),
        steps=flag.steps,
        target=flag.target,
        checkpoint=_checkpoint(flag),
        data_dir=flag.data_dir,
        overrides=overrides,
    )
    print(json.dumps(finite(report)) if flag.json else robustness.table(report))


def _words(text: str | None) -> list[str] | None:
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _radii(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(word) for word in _words(text) or ()]
    except ValueError:
        raise UserError(f"--epsilon={text} is no list of numbers, such as 0.05,0.1,0.25") from None


def _models(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    _one_of(flag, "json", "markdown")
    from cnnjax.models.catalogue import catalogue, listing, markdown

    rows = catalogue(flag.filter or "", max_params=flag.max_params, max_macs=flag.max_macs)
    print(json.dumps(rows) if flag.json else markdown(rows) if flag.markdown else listing(rows))


def _bench(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    recipe = recipes.load(_needed(flag, "config"), overrides)
    from cnnjax.bench import measure

    report = measure.bench(
        recipe.config,
        synthetic=flag.synthetic,
        augment=flag.augment,
        input_only=flag.input_only,
        steps=flag.steps,
        data_dir=flag.data_dir,
    )
    print(json.dumps(finite(report)) if flag.json else measure.text(report))


def _plan(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    recipe = recipes.load(_needed(flag, "config"), overrides)
    from cnnjax.bench import plan

    report = plan.plan(recipe.config, num_train_images=flag.num_train_images)
    print(json.dumps(finite(report)) if flag.json else plan.text(report))


def _doctor(flag: flags.FlagValues, overrides: dict[str, str], _: list[str]) -> None:
    from cnnjax.bench import doctor

    report = doctor.examine(flag.data_dir)
    print(json.dumps(finite(report))) if flag.json else tables.show_doctor(report)
    if sentence := doctor.verdict(report):
        raise RunError(sentence)


def _needed(flag: flags.FlagValues, name: str) -> str:
    value = flag[name].value
    if not value:
        raise UserError(f"--{name} is missing; give the {flag[name].help}")
    return value


def _one_of(flag: flags.FlagValues, one: str, other: str) -> None:
    if flag[one].value and flag[other].value:
        raise UserError(f"--{one} and --{other} both want stdout; give one of them")


def _workdirs(flag: flags.FlagValues) -> list[str]:
    """The run folders of --workdir A,B,C; a folder whose own name has a comma is one."""
    value = _needed(flag, "workdir")
    return [value] if Path(value).is_dir() else [part for part in value.split(",") if part]


def _checkpoint(flag: flags.FlagValues) -> Any:
    if flag.checkpoint not in (None, "best", "last"):
        raise UserError(f"--checkpoint={flag.checkpoint} is neither best nor last")
    return flag.checkpoint


def _input_size(text: str) -> tuple[int, int, int]:
    parts = text.lower().replace(",", "x").split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise UserError(f"--input={text} is not HxWxC, such as 224x224x3")
    height, width, channels = map(int, parts)
    return height, width, channels


COMMON = ("debug",)
VERBS = {
    "train": Verb(
        _train,
        "train a recipe, or go on with its run",
        ("config", "workdir", "data_dir", "repeat", "print_config"),
        "cnnjax train --config configs/lenet_digits.py --config.train.epochs=20",
        says={"workdir": "run folder; default runs/<config name>"},
    ),
    "prepare": Verb(
        _prepare,
        "turn a recipe's source into prepared records (train does it by itself)",
        ("config", "data_dir"),
        "cnnjax prepare --config configs/own_images.py --config.data.source=folder:PATH",
    ),
    "evaluate": Verb(
        _evaluate,
        "exact metrics of a run on a split",
        ("workdir", "split", "checkpoint", "data_dir", "report", "calibrate", "calibrated", "json"),
        "cnnjax evaluate --workdir runs/lenet_digits --split test",
        says={"workdir": "run folder, or several, A,B,C, whose probabilities are averaged"},
    ),
    "report": Verb(
        _report,
        "a run's report.html again from its folder, or one page that compares several runs",
        ("workdir", "to", "published"),
        "cnnjax report runs/lenet_digits",
        files=True,
        overrides=False,
        says={
            "workdir": "run folder, or several, A,B,C; the same as A B C after the verb",
            "to": "file to write; default: report.html in the run folder; of several, or --published, comparison.html",
        },
    ),
    "predict": Verb(
        _predict,
        "classes and probabilities of image files and folders",
        ("workdir", "checkpoint", "top", "calibrated", "csv", "json"),
        "cnnjax predict --workdir runs/own_images holiday.jpg more/",
        files=True,
        says={"workdir": "run folder, or several, A,B,C, whose probabilities are averaged"},
    ),
    "explain": Verb(
        _explain,
        "images of what a run looks at: filters, feature maps, class activation maps, attributions, fields",
        ("workdir", "image", "split", "count", "method", "layer", "class", "to", "checkpoint", "data_dir"),
        "cnnjax explain --workdir runs/own_images holiday.jpg --method grad_cam,occlusion",
        files=True,
        says={
            "to": "folder to write; default: figures/explain in the run folder",
            "split": "train, val or test, in the place of image files",
            "count": "how many images of the split; default 16",
        },
    ),
    "filters": Verb(
        _filters,
        "what fixed filters (edge, sharpen, blur, Sobel) make of an image, as a grid",
        ("to",),
        "cnnjax filters holiday.jpg --to filters.png",
        files=True,
        overrides=False,
        says={"to": "PNG file to write; default: <image>_filters.png here"},
    ),
    "robustness": Verb(
        _robustness,
        "accuracy of a run under changes of its images and under attacks, with curves",
        ("workdir", "split", "count", "test", "attack", "epsilon", "steps", "target", "checkpoint", "data_dir", "json"),
        "cnnjax robustness --workdir runs/lenet_mnist --attack fgsm,pgd --epsilon 0.1,0.25",
        says={"count": "how many images of the split; default 1000", "steps": "of pgd and pgd_l2; default 10"},
    ),
    "soup": Verb(
        _soup,
        "average the weights of runs that began alike into a new run",
        ("workdir", "to", "checkpoint"),
        "cnnjax soup --workdir runs/a,runs/b,runs/c --to runs/soup",
        overrides=False,
        says={"workdir": "run folders, A,B,C", "to": "new run folder"},
    ),
    "summary": Verb(
        _summary,
        "layers, shapes, parameters and MACs of a recipe's, a run's or a named model",
        ("config", "workdir", "model", "num_classes", "input", "json"),
        "cnnjax summary --model alexnet",
    ),
    "plan": Verb(
        _plan,
        "what a training will take: parameters, memory, steps; never touches the data",
        ("config", "num_train_images", "json"),
        "cnnjax plan --config configs/resnet50_imagenet.py --num_train_images 1281167",
    ),
    "bench": Verb(
        _bench,
        "how fast a recipe trains here, and what it waits for",
        ("config", "data_dir", "synthetic", "augment", "input_only", "steps", "json"),
        "cnnjax bench --config configs/lenet_digits.py --synthetic",
        says={"steps": "how many to measure, up to whole dispatches; default: about ten seconds of them"},
    ),
    "convert": Verb(
        _convert,
        "published weights to a run folder, and a run's weights to a file for other libraries",
        ("arch", "from", "workdir", "to", "source", "tag", "num_classes", "classes", "allow_pickle"),
        "cnnjax convert --arch resnet50 --from resnet50.safetensors --workdir runs/resnet50",
        overrides=False,
        says={"workdir": "run folder: new, or with --to the one to export", "to": "file to write, FILE.safetensors"},
    ),
    "models": Verb(
        _models,
        "list the models with parameters, MACs and the accuracy of their published weights",
        ("filter", "max_params", "max_macs", "markdown", "json"),
        "cnnjax models --filter efficientnet --max_params 20000000",
        overrides=False,
    ),
    "doctor": Verb(
        _doctor,
        "versions, devices and known faults of what is installed, and whether it computes the right numbers",
        ("data_dir", "json"),
        "cnnjax doctor",
        overrides=False,
    ),
}
