"""Runs, sweeps and verification: what is trained, and what its record says."""
