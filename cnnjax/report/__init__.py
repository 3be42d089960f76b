"""Stage 7, report: files of a run folder -> images and tables, and one page of them all.

Before it: training and evaluate, which wrote the files. It reads nothing else, so any old run can be reported again.
collect (a folder as one structure) -> charts, quality and bubbles (drawn in the manner of drawing), confusion -> page
of one run, comparison of several, both made of elements and the files in assets/.
"""

from cnnjax.report.charts import curves
from cnnjax.report.write import write_comparison, write_page

__all__ = ["curves", "write_comparison", "write_page"]
