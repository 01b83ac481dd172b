"""Choices: a name and arguments in a study file, and the object that they build."""
