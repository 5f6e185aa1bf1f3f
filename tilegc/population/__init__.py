"""What a sample of clusters says together: one law of counts and convergence, richness and mass, mean profiles."""
