"""Table columns: their roles, their conversion, and warnings about likely mistakes."""
