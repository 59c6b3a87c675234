"""Genotypes, alphas and spaces as plain values."""
