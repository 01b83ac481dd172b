"""Rules for the factors of low-rank adapters, whose mean product is not the product of their means."""
