"""What it means: rules over the timeline."""
