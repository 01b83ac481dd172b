"""The tuning of a study in its report: what each arm chose, what that cost, and what it did to the differences."""
