"""fedstudy from Python, in a notebook or a script: `from flows.notebook import compare, preview, read, run`.

The same as the command line does, with tables as pandas DataFrames and pictures that a notebook shows.
"""

from flows.notebook.outcome import Outcome, Picture
from flows.notebook.studies import OutcomeWaits, RunsFailed, compare, preview, read, run

__all__ = ["Outcome", "OutcomeWaits", "Picture", "RunsFailed", "compare", "preview", "read", "run"]
