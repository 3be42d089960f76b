"""`cnnjax VERB`: reads the words of the command line, runs the verb, and turns errors into a sentence and a status.

Results go to stdout, everything else to stderr. Exit status: 0 done; 2 bad input; 1 failed while running; 128 + signal
when stopped. Errors are one sentence; `--debug` shows the traceback.
"""

import contextlib
import difflib
import errno
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

import cnnjax
from cnnjax.config.parse import suggestion
from cnnjax.core import startup
from cnnjax.core.errors import RunError, Stopped, UserError
from cnnjax.core.registry import nearest
from cnnjax.core.rundir import RunDir
from cnnjax.verbs import COMMON, DEFAULTS, NUMBERS, SWITCHES, TEXTS, VERBS, Verb

AGAIN = "the same command begins again where the last saved piece ends"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `cnnjax VERB ...` and returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug, name = "--debug" in words, ""
    flag: flags.FlagValues | None = None
    try:
        with _told_of_sigterm(), _printed():
            if not words or words[0] in ("--help", "-h", "help"):
                print(_help())
                return 0 if words else 2
            if words[0] == "--version":
                print(cnnjax.__version__)
                return 0
            name = words.pop(0)
            if name not in VERBS:
                raise UserError(f"unknown verb {name}{nearest(name, VERBS)}")
            verb = VERBS[name]
            if {"--help", "-h"} & set(words):
                print(_verb_help(name, verb))
                return 0
            flag, overrides, rest = _parse(verb, words)
            if rest and not verb.files:
                raise UserError(f"{name} takes no argument {rest[0]}; flags begin with --")
            if overrides and not verb.overrides:
                raise UserError(
                    f"{name} reads no recipe, so it takes no --config.{next(iter(overrides))}; leave it out"
                )
            startup.set_flags()  # before jax is imported
            return verb.run(flag, overrides, rest) or 0
    except BrokenPipeError:  # predict ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python prints the rest when it ends, and fails
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if debug and not isinstance(error, (Stopped, KeyboardInterrupt)):
            traceback.print_exc()
        workdir = flag["workdir"].value if flag and name == "train" else None  # others read the run folder alone
        sentence, status = _verdict(error, workdir)
        print(f"cnnjax: {sentence}", file=sys.stderr)
        return status


@contextlib.contextmanager
def _printed() -> Iterator[None]:
    """Has what was printed leave the buffer here, where a pipe that nobody reads is known."""
    yield
    sys.stdout.flush()


@contextlib.contextmanager
def _told_of_sigterm() -> Iterator[None]:
    """Outside the loop, where there is nothing to save, SIGTERM ends in a sentence as Ctrl-C does."""

    def stop(number: int, frame: Any) -> None:
        raise Stopped(f"stopped; {AGAIN}", number)

    try:
        former = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _verdict(error: BaseException, workdir: str | None) -> tuple[str, int]:
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # of whatever was named: a run, a recipe
        return f"{error.filename} is too long a name for this file system; give a shorter one", 2
    if isinstance(error, RunError):
        where = f"; its log is {RunDir(workdir).metrics}" if workdir and RunDir(workdir).metrics.is_file() else ""
        return f"{error}{where}", 1
    if isinstance(error, Stopped):
        return str(error), 128 + error.signal
    if isinstance(error, KeyboardInterrupt):
        return f"interrupted; {AGAIN}", 130
    reason = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {reason}; {_kept(error, workdir)}", 1


def _kept(error: BaseException, workdir: str | None) -> str:
    """Writes the traceback into the run folder, without one into a temporary folder; says where it is."""
    try:
        folder = Path(workdir) if workdir and Path(workdir).is_dir() else Path(tempfile.mkdtemp(prefix="cnnjax-"))
        log = RunDir(folder).failure
        log.write_text("".join(traceback.format_exception(error)))
    except OSError:  # a full disk may be what failed
        return "the traceback could not be written; --debug shows it"
    return f"the traceback is in {log}"


def _parse(verb: Verb, words: list[str]) -> tuple[flags.FlagValues, dict[str, str], list[str]]:
    """Splits the words into flags, which absl reads, and `--config.a.b=VALUE` overrides, which it need not know."""
    overrides: dict[str, str] = {}
    others = []
    while words:
        word = words.pop(0)
        if not word.startswith("--config."):
            others.append(word)
            continue
        key, equals, value = word[len("--config.") :].partition("=")
        if not equals and not words:
            raise UserError(f"{word} has no value; write {word}=VALUE")
        overrides[key] = value if equals else words.pop(0)
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may stand behind the images
    for name, text in _texts(verb).items():
        if name in TEXTS:
            flags.DEFINE_string(name, DEFAULTS.get(name), text, flag_values=values)
        elif name in NUMBERS:
            flags.DEFINE_integer(name, DEFAULTS.get(name), text, flag_values=values, lower_bound=1)
        else:
            flags.DEFINE_boolean(name, False, text, flag_values=values)
    try:
        rest = values(["cnnjax", *others])[1:]
    except flags.UnrecognizedFlagError as error:
        names, wrong = [f"--{name}" for name in values], error.flagname
        near = difflib.get_close_matches(f"--{wrong}", names, n=1, cutoff=0.8)
        meant = suggestion(wrong) if verb.overrides and not near else None
        hint = f"; did you mean --config.{meant}?" if meant else nearest(f"--{wrong}", names)
        raise UserError(f"unknown flag --{wrong}{hint}") from error
    except flags.Error as error:
        raise UserError(" ".join(str(error).split())) from error
    return values, overrides, rest


def _texts(verb: Verb) -> dict[str, str]:
    """What each flag of a verb means."""
    texts = TEXTS | NUMBERS | SWITCHES | dict(verb.says)
    return {name: texts[name] for name in (*verb.flags, *COMMON)}


def _help() -> str:
    verbs = "\n".join(f"  {name:10} {verb.what}" for name, verb in VERBS.items())
    return (
        f"cnnjax {cnnjax.__version__}: train, evaluate and ship convolutional image classifiers in JAX\n\n"
        f"usage: cnnjax VERB [flags]\n\n{verbs}\n\ncnnjax VERB --help tells more; begin with\n"
        f"  {VERBS['train'].example}"
    )


def _verb_help(name: str, verb: Verb) -> str:
    lines = [f"cnnjax {name}: {verb.what}", "", f"  {verb.example}", ""]
    lines += [f"  --{flag:14} {text}" for flag, text in _texts(verb).items()]
    if verb.overrides:
        of = "of the recipe, in any order" if "config" in verb.flags else "that has no part in the training"
        lines += ["", f"  --config.SECTION.KEY=VALUE overrides an option {of}; for all options:"]
        lines += ["  cnnjax train --config FILE --print_config"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
