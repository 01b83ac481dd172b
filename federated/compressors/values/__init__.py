"""How numbers become bytes."""
