"""The findings in words, numbers as text, and tables of text."""
