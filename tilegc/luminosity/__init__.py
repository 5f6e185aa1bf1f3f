"""How bright the clusters are: their luminosity function, their number, and which sources belong to them."""
