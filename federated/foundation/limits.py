"""Limits on the size of a study. A larger one is refused at once, with the requested size and the limit.

docs/limits.md explains each value; a test keeps the two consistent.
"""

from __future__ import annotations

MOST_ARMS = 1_000
"""Arms, anchors aside. Each is a row of every table; arms are compared with each other, so the report's time grows with
their square: ten seconds for a thousand, a quarter of an hour for ten thousand."""

MOST_SITES_LEFT_OUT = 100
"""Sites that `leave_one_out: true` leaves out in turn. Each is an arm more for every arm; more are stated by name."""

MOST_SITES_JUDGED = 30
"""Sites that `sites` judges. Each is an arm more for every arm, and one of the verdicts that share an error rate."""

MOST_SITES_EXACTLY = 8
"""Sites whose Shapley values are exact: each coalition of them is trained after each run, 256 of eight sites."""

MOST_COALITIONS = 1_000
"""Coalitions that permutations may train after each run: their number times the sites but one."""

MOST_RUNS = 10_000
"""Arms, anchors aside, times seeds. Counted before the first run is built."""

LARGEST_LABEL_TABLE = 20_000_000
"""Clients times classes: how unlike the clients are is measured on the table of who holds how much of what."""

MOST_CELLS = 1_000_000
"""Counts of labels in a table that a run leaves, a column for each label; more are one column of those not zero."""

LARGEST_STUDY_FILE = 1_000_000
"""Bytes of a study file."""

MOST_VALUES = 200_000
"""Numbers, texts, lists and mappings of a study file, those that an alias stands for counted each time."""

DEEPEST = 40
"""Lists and mappings of a study file within each other."""

LARGEST_INTEGER = 2**63 - 1
"""Of a whole number in a study file, either sign: what every part that the study passes through can hold."""

LARGEST_STUDY = 500_000
"""Bytes of a study as JSON, all that it refers to filled in: Prefect's servers take 524,288 for a flow run."""

LONGEST_STUDY_NAME = 1_000
"""Characters. MLflow searches for it in a tag; longer ones are no names."""

LONGEST_ARM = 200
"""Characters of an arm's name; a longer one is shortened and ends in a digest. MLflow's names of runs take 250."""

LONGEST_ARGUMENT = 80
"""Characters of one argument in a choice's label, such as a list of columns; a longer one is shortened as an arm is."""

LONGEST_ERROR = 4_000
"""Characters of an error that a person is shown; a longer one is cut in the middle."""

MOST_COMPLAINTS = 20
"""Lines, each of one field, of an error about a study file."""

MOST_FAULTY_ARMS = 10
"""Lines, each of one fault and the arms that have it, of an error about arms that cannot run."""

LARGEST_CACHE = 20_000_000_000
"""Bytes of texts and images that were read once and are kept under `datasets/read` at home, and of features of frozen
trunks under `features`; then the oldest go. A trunk with more features than that runs in every step."""
