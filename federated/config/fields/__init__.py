"""Fields of a config by their dotted paths: values, short forms, and what a misspelt one probably meant."""
