"""Rounds whose clients are trained by processes of Ray, here or on other machines. The one place that knows Ray."""
