"""The measures that a run is judged by, and the metrics by which something in it may be chosen."""
