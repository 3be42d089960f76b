"""Stage 7, report: files of a run folder -> pictures and tables.

Before it: training and evaluate, which wrote the files. It reads nothing else, so any old run can be reported again.
"""

from cnnjax.report.charts import curves

__all__ = ["curves"]
