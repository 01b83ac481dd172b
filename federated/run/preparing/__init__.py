"""The steps of preparing a run: trainers and their budget, parts, refusals."""
