"""Beside the pipeline, robustness: how far images can be changed before a run misclassifies them.

`study` measures a run folder and writes eval/<split>_robustness.json and figures/. changes holds shifts, turns, noise
and the like, corruptions those of ImageNet-C; the attacks are optim/adversary.py's, which training uses too. Subject is
an opened run as a function of pixels, for one's own trials.
"""

from cnnjax.robustness.changes import CHANGES
from cnnjax.robustness.corruptions import CORRUPTIONS
from cnnjax.robustness.subject import Subject
from cnnjax.robustness.trials import study, table

__all__ = ["CHANGES", "CORRUPTIONS", "Subject", "study", "table"]
