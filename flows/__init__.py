"""The flows and the command line: orchestration, no arithmetic."""

from flows.startup.telemetry import switch_telemetry_off

switch_telemetry_off()
