"""The only reader of files and environment: every knob of dialplane, its unit, its default and one sentence about it."""
