"""The scripts of examples/ run as they stand, on the digits of scikit-learn."""

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(name, *words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    command = [sys.executable, str(ROOT / "examples" / name), *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_own_loop():
    report = ast.literal_eval(run("own_loop.py", "digits")[-1])
    assert report["count"] > 300
    assert report["top1"] > 0.8
