"""The extension points of a study: registries, contracts of the parts, and incompatible combinations."""
