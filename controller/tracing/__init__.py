"""OpenTelemetry traces, for who has asked for them: nothing here is loaded otherwise."""
