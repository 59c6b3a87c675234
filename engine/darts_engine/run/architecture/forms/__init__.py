"""The written forms of a genotype: a file for each, its reading and writing beside each other."""
