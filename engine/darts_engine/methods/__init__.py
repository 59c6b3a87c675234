"""Search methods: one file per idea."""
