"""The canaries pass where XLA computes right, and each fails where its fault is put back; what doctor reports."""

import ast
import functools
import inspect
import json
import os
import re
import subprocess
import sys
from importlib import metadata

import jax
import jax.numpy as jnp
import jaxlib
import pytest
from flax import linen as nn

from cnnjax.bench import canaries, doctor
from cnnjax.bench.canaries import CANARIES, Canary
from cnnjax.cli import main
from cnnjax.core import startup
from cnnjax.models import convolution, norm, pooling
from cnnjax.models.convolution import plan
from cnnjax.optim import losses


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_canary_passes(canary):
    row = canary.run("cpu")
    assert row["ok"], row


def test_convolutions_meet_every_rule_of_the_plan():
    """Each `return` of the functions that choose a form is reached by some shape."""
    met, returns = set(), set()
    for function in (plan.forward, plan.to_inputs, plan.to_kernel):
        lines, first = inspect.getsourcelines(function)
        nodes = ast.walk(ast.parse("".join(lines)))
        returns |= {first + node.lineno - 1 for node in nodes if isinstance(node, ast.Return)}

    def watch(frame, event, _):
        if frame.f_code.co_filename != plan.__file__:
            return None
        if event == "line":
            met.add(frame.f_lineno)
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        for shape in canaries.CONVOLUTIONS.values():
            inputs, kernel = jnp.zeros(shape.inputs), jnp.zeros(shape.kernel)
            choices = {"stride": shape.stride, "padding": shape.padding, "groups": shape.groups}
            jax.eval_shape(
                lambda x, k, choices=choices: jax.grad(lambda *a: convolution.convolve(*a, **choices).sum(), (0, 1))(
                    x, k
                ),
                inputs,
                kernel,
            )
    finally:
        sys.settrace(before)
    assert len(returns) > 10
    assert returns <= met


def rounded(values):
    """What bfloat16 keeps of them."""
    return values.astype(jnp.bfloat16).astype(jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def one_place_beside(inputs, window, stride, around):
    return nn.max_pool(inputs, window, stride, around)


def _beside(window, stride, around, inputs, gradient):
    _, back = jax.vjp(lambda values: nn.max_pool(values, window, stride, around), inputs)
    return (jnp.roll(back(gradient)[0], 1, axis=2),)


one_place_beside.defvjp(lambda inputs, *rest: (nn.max_pool(inputs, *rest), inputs), _beside)


class BiasedBatchNorm(norm.BatchNorm):
    """Keeps the variance of n, not n - 1, as Flax's own layer does."""

    @nn.compact
    def __call__(self, inputs, train=False):
        old, count = self.get_variable("batch_stats", "var"), inputs.size // inputs.shape[-1]
        outputs = super().__call__(inputs, train)
        unbiased = old + (self.get_variable("batch_stats", "var") - old) / self.momentum
        self.put_variable("batch_stats", "var", old + self.momentum * (unbiased * (count - 1) / count - old))
        return outputs


class RoundedLayerNorm(norm.LayerNorm):
    """Takes its statistics from rounded values, as in a model that computes in bfloat16."""

    @nn.compact
    def __call__(self, inputs, train=False):
        return super().__call__(rounded(inputs), train)


def of_rounded_inputs(inputs, kernel, **options):
    return convolve(rounded(inputs), kernel, **options)


convolve, cross_entropy, matmul, square = (
    convolution.convolve,
    losses.softmax_cross_entropy,
    jnp.matmul,
    jnp.square,
)
FAULTS = {
    "a place beside the largest": (pooling, "max_pool", one_place_beside, "max pooling", 2),
    "biased variance": (norm, "BatchNorm", BiasedBatchNorm, "BatchNorm, 1(6|27)x", 2),  # of n = 32761 it is 3e-6
    "rounded values": (norm, "LayerNorm", RoundedLayerNorm, "LayerNorm", 3),
    "rounded inputs": (convolution, "convolve", of_rounded_inputs, "(XLA's )?convolution", 24),
    "rounded logits": (
        losses,
        "softmax_cross_entropy",
        lambda logits, targets: cross_entropy(rounded(logits), targets),
        "softmax",
        3,
    ),
    "rounded probabilities": (
        losses,
        "probabilities",
        lambda logits, _: rounded(nn.softmax(logits)),
        "softmax.* \\d{2,}$",
        2,
    ),
    "rounded product": (jnp, "matmul", lambda left, right: matmul(rounded(left), right), "matrix products", 1),
    "rounded squares": (jnp, "square", lambda values: rounded(square(values)), "reductions, ", 1),
}


@pytest.mark.parametrize(("module", "name", "fault", "canary", "count"), FAULTS.values(), ids=FAULTS)
def test_canary_fails_where_its_fault_is_put_back(module, name, fault, canary, count, monkeypatch):
    chosen = [one for one in CANARIES if re.match(canary, one.name)]
    monkeypatch.setattr(module, name, fault)
    rows = [one.run("cpu") for one in chosen]
    assert len(rows) == count
    assert not any(row["ok"] or row["failure"] for row in rows), [row for row in rows if row["ok"] or row["failure"]]


@pytest.mark.parametrize("which", ["to_inputs", "to_kernel"])
def test_canary_fails_where_one_gradient_is_wrong(which, monkeypatch):
    form = getattr(plan, which)
    monkeypatch.setattr(plan, which, lambda case: lambda *arrays: 1.0001 * form(case)(*arrays))
    some = [
        canary for canary in CANARIES if re.match("convolution, (3x3|1x1 to more|depthwise|two groups)", canary.name)
    ]
    rows = [canary.run("cpu") for canary in some]
    assert len(rows) == 7
    assert not any(row["ok"] for row in rows)


@pytest.mark.skipif(startup.ynn_fusion() is None, reason=f"jaxlib {jaxlib.__version__} here is not known for the fault")
@pytest.mark.parametrize(("entry", "right"), [("+reduce", False), (None, True)])
def test_missing_flag_is_found(entry, right):
    """With XLA's reductions left in YNNPACK the canary fails; with the flag that cnnjax adds it does not."""
    code = (
        "import json, jax; from cnnjax.core import startup; startup.set_flags(); "
        "from cnnjax.bench import canaries, doctor; "
        "faults = doctor.known_faults({'jaxlib': '0.10.2'}, ['cpu']); "
        "print(json.dumps([canaries.run(names='reductions behind'), faults]))"
    )
    flags = f"--{startup.YNN_FLAG}={entry}" if entry else ""
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    (row,), faults = json.loads(done.stdout)
    assert row["ok"] == right
    assert row["failure"] is None
    assert [fault["avoided"] for fault in faults] == [right, right]


@pytest.mark.parametrize(
    ("value", "right"),
    [
        (None, False),
        ("", True),
        ("-reduce", True),
        ("-individual_convolution,-reduce", True),
        ("-individual_convolution", False),
        ("+reduce", False),
        ("reduce", False),
        ("individual_dot,individual_convolution", True),
    ],
)
def test_values_of_the_flag_are_understood(value, right):
    assert startup.leaves_out(value, "-reduce") == right


def test_faults_of_other_machines_are_left_out_and_the_remedy_is_named(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(doctor.platform, "system", lambda: "Linux")
    for machine, count in (("x86_64", 2), ("aarch64", 1)):
        monkeypatch.setattr(doctor.platform, "machine", lambda machine=machine: machine)
        faults = doctor.known_faults({"jaxlib": "0.10.2"}, ["cpu"])
        assert [fault["avoided"] for fault in faults] == [False] * count
        assert {fault["remedy"] for fault in faults} == {f"XLA_FLAGS=--{startup.YNN_FLAG}=-reduce"}
    assert doctor.known_faults({"jaxlib": "0.10.2"}, ["gpu"]) == []


def report_of(capsys, status):
    assert main(["doctor", "--json"]) == status
    out, err = capsys.readouterr()
    return json.loads(out), err


RIGHT = Canary("two and two", lambda: [(2 + 2, 4)])
WRONG = Canary("wrong sum", lambda: [(2.001, 2)])
BROKEN = Canary("broken sum", lambda: [(jnp.zeros(2) + jnp.zeros(3), 0)])


def test_json_is_one_document_that_says_what_is_here(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(canaries, "CANARIES", (RIGHT,))
    report, err = report_of(capsys, 0)
    assert err == ""
    assert report["ok"] is True
    row = {"name": "two and two", "backend": "cpu", "ok": True, "error": 0, "tolerance": 2e-5, "failure": None}
    assert report["canaries"] == [row]
    assert report["devices"] == {"cpu": ["cpu"] * 8}
    assert report["versions"]["jaxlib"] == metadata.version("jaxlib")
    assert report["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert set(report["optional"]) < set(report["versions"])
    assert report["folders"]["data"]["path"] == os.environ["CNNJAX_DATA_DIR"]
    assert report["folders"]["data"]["free"] > 0
    assert report["memory"]["total"] > report["memory"]["available"] > 0
    assert {flag["name"]: flag["value"] for flag in report["flags"]} == startup.flags()
    assert main(["doctor", "--json", "--data_dir", str(tmp_path / "else" / "where")]) == 0
    folders = json.loads(capsys.readouterr().out)["folders"]
    assert folders["data"]["path"] == str(tmp_path / "else" / "where")
    assert not (tmp_path / "else").exists()


def test_failed_canaries_are_named_and_the_status_is_1(monkeypatch, capsys):
    monkeypatch.setattr(canaries, "CANARIES", (RIGHT, WRONG, BROKEN))
    report, err = report_of(capsys, 1)
    assert report["ok"] is False
    assert [row["ok"] for row in report["canaries"]] == [True, False, False]
    assert report["canaries"][1]["error"] == pytest.approx(0.0005)
    assert report["canaries"][2]["error"] is None
    assert "TypeError" in report["canaries"][2]["failure"]
    assert err == "cnnjax: what is compiled here computes wrong numbers in wrong sum (cpu); broken sum (cpu)\n"
    assert main(["doctor"]) == 1
    out, again = capsys.readouterr()
    assert again == err
    for words in ("FAILED\tcpu\twrong sum\t5.0e-04 of 2e-05", "ok\tcpu\ttwo and two", f"jaxlib\t{jaxlib.__version__}"):
        assert words in out


def test_not_a_number_and_another_shape_are_wrong():
    assert canaries.difference([1, float("nan")], [1, 2]) == float("inf")
    assert canaries.difference([1, 2, 3], [1, 2]) == float("inf")
    assert canaries.difference([1, 4.5], [1, 5]) == pytest.approx(0.1)


def test_plugin_of_another_version_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(canaries, "CANARIES", (RIGHT,))
    monkeypatch.setattr(doctor, "PLUGINS", ("jax-cuda13-plugin",))  # whatever is installed here
    version = metadata.version
    monkeypatch.setattr(
        doctor.metadata, "version", lambda name: "0.0.9" if name == "jax-cuda13-plugin" else version(name)
    )
    report, err = report_of(capsys, 1)
    assert report["gpu"]["plugins"] == {"jax-cuda13-plugin": "0.0.9"}
    assert err.startswith(f"cnnjax: jax-cuda13-plugin 0.0.9 does not fit jaxlib {version('jaxlib')}")
    monkeypatch.setattr(doctor.metadata, "version", lambda name: version("jaxlib") + ".post1")
    assert report_of(capsys, 0)[1] == "", "the same release, built again"


def test_devices_that_do_not_start_are_reported():
    environment = {**os.environ, "JAX_PLATFORMS": "abacus"}
    command = [sys.executable, "-m", "cnnjax.cli", "doctor", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    report = json.loads(done.stdout)
    assert (done.returncode, report["ok"], report["devices"], report["canaries"]) == (1, False, {}, [])
    assert done.stderr.startswith("cnnjax: jax starts no device: ")
    assert "abacus" in done.stderr
    assert report["versions"]["jaxlib"] == jaxlib.__version__


def test_driver_is_what_nvidia_smi_says(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '580.65.06, NVIDIA H200, 143771 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    gpu = doctor._gpu()
    assert (gpu["driver"], gpu["devices"]) == ("580.65.06", ["NVIDIA H200, 143771 MiB"])
