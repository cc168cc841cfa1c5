"""What causes what: variables, effects, interventions, mixings."""
