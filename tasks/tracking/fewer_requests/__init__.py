"""Fewer requests to a server, each of which may take a tenth of a second: asked once, and told together."""
