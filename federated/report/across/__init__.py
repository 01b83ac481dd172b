"""The same arms over several studies or data sets: their ranks, and which of them are told apart."""
