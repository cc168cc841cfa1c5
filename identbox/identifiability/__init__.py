"""Whether the causes were found: assumptions, ceilings, the oracle, verdicts."""
