"""Value codings: numbers as bytes."""
