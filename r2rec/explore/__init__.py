"""`r2rec explore`: a local page over runs, and their models asked again with something changed."""
