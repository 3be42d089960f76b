"""The plan of the house: who may import whom, and which libraries stay behind which door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "cnnjax"

# A package may import those above it. Those in one row never import each other.
ORDER = [
    {"core"},
    {"config"},
    {"recipes"},
    {"data", "augment", "models", "optim", "evaluation"},
    {"weights"},
    {"training"},
    {"runs"},
    {"explain", "robustness", "baselines", "bench", "pieces"},
    {"run"},
    {"tables"},
    {"verbs"},
    {"cli"},
    {"main", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names} | {"report": 0.5}
FENCES = {"flax": "models", "optax": "optim", "orbax": "training/checkpoint.py"}
LAZY = {
    *("torch", "torchvision", "timm", "keras", "tensorflow", "tensorflow_datasets", "grain", "array_record"),
    *("simplejpeg", "tifffile", "cv2", "PIL", "matplotlib", "sklearn", "tensorboardX"),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(tree):
    """(node, absolute module name) of every import; `from cnnjax import x` counts as cnnjax.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "cnnjax":
                yield from ((node, f"cnnjax.{name.name}") for name in node.names)
            else:
                yield node, node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_keeps_to_the_plan(path):
    tree = ast.parse(path.read_text())
    inside = path.relative_to(PACKAGE)
    room = inside.parts[0].removesuffix(".py")
    assert ast.get_docstring(tree), "every file says what it is"
    assert len(path.read_text().splitlines()) <= 500
    assert path.stem not in ("utils", "common", "helpers", "misc")
    for node, name in imported(tree):
        top, _, rest = name.partition(".")
        if top in FENCES:
            assert str(inside).startswith(FENCES[top]), f"{name} is imported outside its fence"
        if top in LAZY:
            assert node not in tree.body, f"{name} is heavy: import it where it is used"
        if top == "cnnjax" and rest and room != "__init__":
            other = rest.partition(".")[0]
            if other != room and other in LEVEL:
                assert LEVEL[other] < LEVEL[room], f"{room} imports {other}"


def test_functions_stay_readable():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                length = node.end_lineno - node.lineno + 1
                limit = 150 if (path.parent.name, path.stem) == ("training", "loop") else 80
                assert length <= limit, f"{path.name}: {node.name} has {length} lines"


def test_import_loads_no_jax():
    code = (
        "import sys, cnnjax, cnnjax.cli; print(any(m.split('.')[0] in ('jax', 'flax', 'numpy') for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_public_names_are_there():
    import cnnjax

    for name in dir(cnnjax):
        assert getattr(cnnjax, name) is not None
    with pytest.raises(AttributeError):
        _ = cnnjax.nothing
