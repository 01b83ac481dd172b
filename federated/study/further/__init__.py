"""What a study has beside the arms that it states: anchors, an arm for each site left out, bands of its figures."""
