"""Scripts that run inside the peers' own environments; nothing here may import fedstudy."""
