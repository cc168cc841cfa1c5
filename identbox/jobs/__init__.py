"""Work in child processes, here or on a cluster, and the leases that keep others away from it."""
