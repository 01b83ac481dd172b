"""The config of one run, section by section."""
