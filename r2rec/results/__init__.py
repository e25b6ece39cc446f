"""What runs have left, read again: found, loaded, shown, compared, reported, and pruned."""
