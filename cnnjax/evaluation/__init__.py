"""Stage 6, evaluation: probabilities of a trained network -> exact metrics of a split.

Before it: training, whose checkpoint it takes; after it: report, which reads what it wrote. views (which crops of a
picture are averaged) -> metrics (sums over a batch) -> split (means over a whole split, or its probabilities) ->
calibrate, report, predictions, errors, gallery (what is made of those). neighbours compares pictures or features.
"""

from cnnjax.evaluation.metrics import summarise, sums
from cnnjax.evaluation.split import batches, evaluate_split

__all__ = ["batches", "evaluate_split", "summarise", "sums"]
