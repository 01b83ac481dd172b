"""The sizes of what a run will send: of payloads, of residuals of adapters, of clients of different ranks."""
