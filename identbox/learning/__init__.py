"""Who learns: encoders, objectives, the training loop."""
