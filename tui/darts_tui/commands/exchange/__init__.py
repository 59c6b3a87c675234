"""The commands that exchange with other programs: `convert` and `import`."""
