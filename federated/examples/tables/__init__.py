"""Columns of tables: what each became, and which look like a mistake."""
