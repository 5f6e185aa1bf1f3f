"""Against radius: profiles, laws, contamination and masses."""
