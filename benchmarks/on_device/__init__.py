"""All measurements on one machine with an accelerator, in one call: `benchmarks/on_device.sh`."""
