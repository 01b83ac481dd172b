"""Studies of one name that ran at different times: compared arm by arm, and over all of their history."""
