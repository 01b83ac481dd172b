"""Arms that a study has beside those that it states: anchors, and one for each site that is left out."""
