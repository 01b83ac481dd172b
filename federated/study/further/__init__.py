"""Parts of a study beside its arms: anchors, a site left out, bands for figures."""
