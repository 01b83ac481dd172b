"""Many clients in one pass of a model that is frozen but for some layers, of which each client has its own."""
