"""The main job: `python -m cnnjax.main --config configs/alexnet_imagenet.py`, the same as `cnnjax train`."""

import sys

from cnnjax import cli


def main() -> int:
    """Runs `cnnjax train` with this process's arguments."""
    return cli.main(["train", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
