"""fedstudy from Python, in a notebook or a script: `from flows.notebook import compare, preview, read, run`.

The same as the command line does, with tables as pandas DataFrames and pictures that a notebook shows.
"""

from flows.notebook.answer import Answer, Picture
from flows.notebook.studies import AnswerWaits, RunsFailed, compare, preview, read, run

__all__ = ["Answer", "AnswerWaits", "Picture", "RunsFailed", "compare", "preview", "read", "run"]
