"""Nets written in one line: [[conv32 >> relu] * 2 >> pool] * 3 >> fc128 >> relu >> drop0.5.

  conv32, conv32k5, conv32s2, conv32k5s2v   kernels, side (3), stride (1); padded to keep the size, unless v ("valid")
  pool, pool3, pool3s2; avgpool, minpool    maximum, mean, minimum: window (2), stride (the window)
  relu tanh sigmoid elu leaky swish         activations
  bn, lrn, drop0.5                          batch and local response normalization, dropout
  flatten, gap, fc128                       a row of values, the mean over all positions, a dense layer

The last dense layer, to the number of classes, is added, and so is the flatten before the first. A conv or fc right
before bn has no bias, which bn's shift would make idle.
"""

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass

from flax import linen as nn

from cnnjax.core.errors import UserError
from cnnjax.core.registry import nearest
from cnnjax.models import blocks, pooling
from cnnjax.models.base import PATTERNS, Entry, Sequential
from cnnjax.models.cards import Card
from cnnjax.models.initializers import HE, Init
from cnnjax.models.norm import LRN, BatchNorm

LONGEST = 1000  # layers: [[relu] * 999] * 999 is a slip


@dataclass(frozen=True)
class Token:
    """A word of the pattern and the place of its first character, counted from 1."""

    text: str
    place: int


class Plain(Sequential):
    """The model of a pattern.

    Attributes:
      pattern: see the file's head.
      initial: of every convolution and dense layer.
    """

    pattern: str
    initial: Init = HE

    def layers(self) -> dict[str, nn.Module]:
        layers: dict[str, nn.Module] = {}
        count: dict[str, int] = {}

        def add(kind: str, layer: nn.Module) -> None:
            count[kind] = count.get(kind, 0) + 1
            layers[f"{kind}{count[kind]}"] = layer

        flat = False
        words = parse(self.pattern)
        for token, follower in zip(words, [*words[1:], None], strict=True):
            kind, numbers = recognize(self.pattern, token)
            if flat and kind in MAPS:
                raise _error(self.pattern, token.place, f'"{token.text}" needs a map, but the model is flat by then')
            if kind == "fc" and not flat:
                add("flatten", blocks.Flatten())
            flat = flat or kind in ("fc", "flatten", "gap")
            bias = follower is None or follower.text != "bn"
            add(kind, FORMS[kind][1](numbers, bias, self.initial))
        if not flat:
            add("flatten", blocks.Flatten())
        add("fc", blocks.Dense(self.num_classes, initial=self.initial))
        return layers


PATTERNS["plain"] = lambda pattern: Entry(functools.partial(Plain, pattern=pattern), Card((32, 32, 3), family="plain"))


# ---------------------------------------------------------------- words


def _conv(numbers: list[str | None], bias: bool, initial: Init) -> nn.Module:
    features, side, stride, valid = numbers
    kernel = int(side or 3)
    # An even kernel has no middle: the odd pixel of padding goes below and right, as TensorFlow has it.
    around = (0, 0) if valid else ((kernel - 1) // 2, kernel // 2)
    return blocks.Conv(
        int(features or 0),
        kernel,
        stride=int(stride or 1),
        padding=(around, around),
        use_bias=bias,
        initial=initial,
    )


def _pool(layer: type[pooling.MaxPool]) -> Callable[..., nn.Module]:
    def build(numbers: list[str | None], bias: bool, initial: Init) -> nn.Module:
        window, stride = numbers
        return layer(int(window or 2), stride=int(stride) if stride else None)

    return build


def _dense(numbers: list[str | None], bias: bool, initial: Init) -> nn.Module:
    return blocks.Dense(int(numbers[0] or 0), use_bias=bias, initial=initial)


def _drop(numbers: list[str | None], bias: bool, initial: Init) -> nn.Module:
    return blocks.Dropout(float(numbers[0] or 0))


def _simple(layer: Callable[[], nn.Module]) -> Callable[..., nn.Module]:
    return lambda numbers, bias, initial: layer()


_N = "([1-9][0-9]*)"
FORMS: dict[str, tuple[re.Pattern[str], Callable[..., nn.Module]]] = {
    "conv": (re.compile(f"conv{_N}(?:k{_N})?(?:s{_N})?(v)?"), _conv),
    "pool": (re.compile(f"pool{_N}?(?:s{_N})?"), _pool(pooling.MaxPool)),
    "avgpool": (re.compile(f"avgpool{_N}?(?:s{_N})?"), _pool(pooling.AvgPool)),
    "minpool": (re.compile(f"minpool{_N}?(?:s{_N})?"), _pool(pooling.MinPool)),
    "gap": (re.compile("gap"), _simple(pooling.GlobalAvgPool)),
    "flatten": (re.compile("flatten"), _simple(blocks.Flatten)),
    "lrn": (re.compile("lrn"), _simple(LRN)),
    "bn": (re.compile("bn"), _simple(BatchNorm)),
    "fc": (re.compile(f"fc{_N}"), _dense),
    "drop": (re.compile(r"drop(0?\.[0-9]+|0)"), _drop),
    "relu": (re.compile("relu"), _simple(blocks.ReLU)),
    **{
        name: (re.compile(name), _simple(lambda name=name: blocks.Activation(name)))  # type: ignore[misc]
        for name in blocks.ACTIVATIONS
    },
}
"""Each kind of layer: how it is written, and what it becomes from (numbers, use_bias, initial)."""

MAPS = frozenset({"conv", "pool", "avgpool", "minpool", "gap", "flatten", "lrn"})
"""The kinds that work on [N, H, W, C] only."""

EXAMPLES = ("conv32", "conv32k5s2v", "pool", "avgpool", "minpool", "gap", "flatten", "lrn", "bn", "fc128", "drop0.5")


def recognize(pattern: str, token: Token) -> tuple[str, list[str | None]]:
    """Returns a word's kind and its numbers: conv32s2 -> ("conv", ["32", None, "2", None])."""
    for kind, (form, _) in FORMS.items():
        if match := form.fullmatch(token.text):
            return kind, list(match.groups())
    hint = nearest(token.text, [*EXAMPLES, "relu", *blocks.ACTIVATIONS])
    raise _error(pattern, token.place, f'"{token.text}" is no layer{hint}')


# ---------------------------------------------------------------- grammar


def parse(pattern: str) -> list[Token]:
    """Returns the pattern's words in order, repetitions written out.

    row = item {">>" item};  item = word | "[" row "]" ["*" number]
    """
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str):
        self.pattern = pattern
        found = re.finditer(r">>|[\[\]*]|[^\s\[\]*>]+|>", pattern)
        self.tokens = [Token(match.group(), match.start() + 1) for match in found]
        self.next = 0

    def whole(self) -> list[Token]:
        words = self.row()
        if self.peek():
            raise self.error(">> or the end")
        return words

    def row(self) -> list[Token]:
        words = self.item()
        while self.peek() == ">>":
            self.next += 1
            words = self.short(words + self.item(), self.next)
        return words

    def item(self) -> list[Token]:
        if self.peek() != "[":
            if self.peek() in ("", ">>", ">", "]", "*"):
                raise self.error("a layer or [")
            self.next += 1
            return [self.tokens[self.next - 1]]
        self.next += 1
        words = self.row()
        if self.peek() != "]":
            raise self.error(">> or ]")
        self.next += 1
        if self.peek() != "*":
            return words
        self.next += 1
        if not re.fullmatch("[1-9][0-9]{0,3}", self.peek()):
            raise self.error("how often, such as 2")
        self.next += 1
        return self.short(words * int(self.tokens[self.next - 1].text), self.next)

    def short(self, words: list[Token], end: int) -> list[Token]:
        if len(words) > LONGEST:
            raise _error(self.pattern, self.tokens[end - 1].place, f"the model has more than {LONGEST} layers here")
        return words

    def peek(self) -> str:
        return self.tokens[self.next].text if self.next < len(self.tokens) else ""

    def error(self, wanted: str) -> UserError:
        if not self.peek():
            return _error(self.pattern, len(self.pattern) + 1, f"it ends where {wanted} is wanted")
        return _error(self.pattern, self.tokens[self.next].place, f'"{self.peek()}" stands where {wanted} is wanted')


def _error(pattern: str, place: int, what: str) -> UserError:
    return UserError(f"plain:{pattern} is wrong at character {place} of the pattern: {what}")
