"""Segments: the rounds of a run between two evaluations. They are trained, evaluated, and ended by a rule."""

from federated.segments.advance import Observers, OnCourse, Steps, advance, begun, concluded, evaluate, train
from federated.segments.ends import num_segments, segment_ends
from federated.segments.stopping import Ended, ending

__all__ = [
    "Ended",
    "Observers",
    "OnCourse",
    "Steps",
    "advance",
    "begun",
    "concluded",
    "ending",
    "evaluate",
    "num_segments",
    "segment_ends",
    "train",
]
