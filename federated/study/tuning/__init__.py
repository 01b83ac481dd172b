"""The tuning of a study: what each arm may choose from, by which rule and how often, and what runs afterwards."""
