"""Stage 6, evaluation: probabilities of a trained network -> exact metrics of a split.

Before it: training, whose checkpoint it takes; after it: report, which reads what it wrote. views (which crops of a
image are averaged) -> metrics (sums over a batch) -> split (means over a whole split, or its probabilities) ->
calibrate, report, predictions, errors, gallery (what is made of those). neighbors compares images or features.
"""

from cnnjax.evaluation.metrics import summarize, sums
from cnnjax.evaluation.split import batches, evaluate_split

__all__ = ["batches", "evaluate_split", "summarize", "sums"]
