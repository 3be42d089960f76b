"""`python -m cnnjax VERB`, where the console script is not on the path."""

import sys

from cnnjax.cli import main

sys.exit(main())
