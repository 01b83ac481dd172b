"""What a study can choose by name, what each choice must return, and which do not go together."""
